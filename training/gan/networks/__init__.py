"""The networks by name: each file has a Generator (z, label) -> image and a Discriminator."""

from dataclasses import replace

from torch import nn

from training.gan.networks import autoencoder, dcgan, growing, mlp, residual, sagan
from training.gan.networks.auxiliary import with_auxiliary_d, with_auxiliary_g
from training.settings import ImageSpec, Settings

NETWORKS = {"mlp": mlp, "dcgan": dcgan, "autoencoder": autoencoder, "sagan": sagan, "residual": residual,
            "growing": growing}  # fmt: skip


def build_generator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (z float32 [N, z_dim], label int64 [N]) -> float32 [N, C, H, W] in [-1, 1]."""
    # Of InfoGAN's z, the last number stands for all of its categories.
    wide = replace(settings, z_dim=settings.z_dim + max(settings.categories - 1, 0))
    return with_auxiliary_g(NETWORKS[settings.network].Generator(wide, spec), settings, spec)


def build_discriminator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (image float32 [N, C, H, W], label int64 [N]) -> logits float32 [N].

    In `autoencoder` the reconstruction error of each image stands in place of its logit. With `auxiliary` it takes z, too, and
    returns what it finds beside the logits (auxiliary.py).
    """
    return with_auxiliary_d(NETWORKS[settings.network].Discriminator(settings, spec), settings, spec)
