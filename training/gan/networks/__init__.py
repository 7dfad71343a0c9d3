"""The networks by name: each file has a Generator (z, label) -> image and a Discriminator."""

import math
from dataclasses import replace

from torch import nn

from training.errors import UserError
from training.gan.networks import autoencoder, dcgan, flow, growing, mlp, projected, residual, sagan
from training.gan.networks.auxiliary import with_auxiliary_d, with_auxiliary_g
from training.settings import ImageSpec, Settings

NETWORKS = {"mlp": mlp, "dcgan": dcgan, "autoencoder": autoencoder, "sagan": sagan, "residual": residual,
            "growing": growing, "flow": flow, "projected": projected}  # fmt: skip


def fitted(settings: Settings, spec: ImageSpec) -> Settings:
    """The settings of a run on such images: a flow's z has as many numbers as they have. Raises UserError where another count was asked for."""
    if settings.network != "flow":
        return settings
    numbers = math.prod((spec.channels, spec.height, spec.width))
    if settings.z_dim not in (0, numbers):
        raise UserError(
            f"z_dim is {settings.z_dim}: the noise of the network 'flow' is shaped as an image of {spec.dataset}, which has "
            f"{numbers} numbers; leave it out"
        )
    return replace(settings, z_dim=numbers)


def build_generator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (z float32 [N, z_dim], label int64 [N]) -> float32 [N, C, H, W] in [-1, 1]."""
    # Of InfoGAN's z, the last number stands for all of its categories.
    wide = replace(settings, z_dim=settings.z_dim + max(settings.categories - 1, 0))
    return with_auxiliary_g(NETWORKS[settings.network].Generator(wide, spec), settings, spec)


def build_discriminator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (image float32 [N, C, H, W], label int64 [N]) -> logits float32 [N].

    In `projected` [N, 80]: each image is judged in so many places. In `autoencoder` the reconstruction error of each image stands in place of its logit. With `auxiliary` it takes z, too, and
    returns what it finds beside the logits (auxiliary.py). Of `flow` it has no weights, and nobody asks it.
    """
    return with_auxiliary_d(NETWORKS[settings.network].Discriminator(settings, spec), settings, spec)
