"""BEGAN's networks: D is an auto-encoder, and G is another decoder of the same shape.

Berthelot et al. 2017 (arXiv 1703.10717, section 3.5 and figure 1): 3x3 convolutions with ELU, strided ones to halve,
nearest-neighbour upsampling, no norm layer, as many channels everywhere. Theirs have two or more convolutions at
each resolution; here are one or none: of as many CPU minutes a shallow auto-encoder makes more.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import UpsampledConv, conv3x3, halvings, he
from training.settings import ImageSpec, Settings


class Decoder(nn.Module):
    """Code -> image. Its last layer is linear, as theirs: behind a tanh, G once at all white never came back."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels, width = halvings(spec), settings.width
        self.base = (width, spec.height >> levels, spec.width >> levels)
        self.project = nn.Linear(settings.z_dim, math.prod(self.base))
        layers: list[nn.Module] = [nn.ELU()]
        for _ in range(levels - 1):
            layers += [he(UpsampledConv(width, width)), nn.ELU()]
        self.layers = nn.Sequential(*layers)
        self.to_image = he(UpsampledConv(width, spec.channels), gain=1.0)

    def forward(self, code: Tensor) -> Tensor:
        """code: float32 [N, z_dim]. Returns float32 [N, C, H, W], about [-1, 1]."""
        return self.to_image(self.layers(self.project(code).unflatten(1, self.base))).float()


class Generator(nn.Module):
    """(z, label) -> image; the label is not read."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.decoder = Decoder(settings, spec)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Returns float32 [N, C, H, W], about [-1, 1]: clipped where they become pixels."""
        return self.decoder(z)


class Discriminator(nn.Module):
    """(image, label) -> reconstruction error; the label is not read."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels, width = halvings(spec), settings.width
        layers: list[nn.Module] = [conv3x3(spec.channels, width, stride=2), nn.ELU()]
        for _ in range(levels - 1):
            layers += [conv3x3(width, width, stride=2), nn.ELU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.to_code = nn.Linear(width * (spec.height >> levels) * (spec.width >> levels), settings.z_dim)
        self.decoder = Decoder(settings, spec)

    def reconstruct(self, image: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. Returns the like."""
        return self.decoder(self.to_code(self.layers(image)))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Mean absolute error of each image's reconstruction, L(x) of Eq. 1 with eta = 1: float32 [N]."""
        return F.l1_loss(self.reconstruct(image), image, reduction="none").mean(dim=(1, 2, 3))
