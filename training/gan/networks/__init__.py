"""The networks by name: each file has a Generator (z, label) -> image and a Discriminator."""

from torch import nn

from training.gan.networks import autoencoder, dcgan, mlp, residual, sagan
from training.settings import ImageSpec, Settings

NETWORKS = {"mlp": mlp, "dcgan": dcgan, "autoencoder": autoencoder, "sagan": sagan, "residual": residual}


def build_generator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (z float32 [N, z_dim], label int64 [N]) -> float32 [N, C, H, W] in [-1, 1]."""
    return NETWORKS[settings.network].Generator(settings, spec)


def build_discriminator(settings: Settings, spec: ImageSpec) -> nn.Module:
    """A module (image float32 [N, C, H, W], label int64 [N]) -> logits float32 [N].

    In `autoencoder` the reconstruction error of each image stands in place of its logit.
    """
    return NETWORKS[settings.network].Discriminator(settings, spec)
