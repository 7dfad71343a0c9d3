"""BEGAN's networks: D is an auto-encoder, and G is another decoder of the same shape.

Berthelot et al. 2017 (arXiv 1703.10717, section 3.5 and figure 1): 3x3 convolutions with ELU, strided ones to halve,
nearest-neighbour upsampling, no norm layer, as many channels everywhere. Theirs have two or more convolutions at
each resolution; here are one or none: of as many CPU minutes a shallow auto-encoder makes more. Theirs know no classes;
with them both decoders are told the class, as Mirza and Osindero 2014 (arXiv 1411.1784) tell both networks of a GAN.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import UpsampledConv, conv3x3, halvings, he
from training.settings import ImageSpec, Settings

# Of an image without any: what `relative_error` divides by is at least this.
LEAST_BRIGHTNESS = 0.1


class Decoder(nn.Module):
    """(code, label) -> image; without classes the label is not read. Its last layer is linear, as theirs: behind a tanh, G once at all white never came back."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels, width = halvings(spec), settings.width
        self.base = (width, spec.height >> levels, spec.width >> levels)
        self.embed = nn.Embedding(spec.classes, settings.label_dim) if settings.conditional else None
        condition_dim = settings.z_dim + (settings.label_dim if settings.conditional else 0)
        self.project = nn.Linear(condition_dim, math.prod(self.base))
        layers: list[nn.Module] = [nn.ELU()]
        for _ in range(levels - 1):
            layers += [he(UpsampledConv(width, width)), nn.ELU()]
        self.layers = nn.Sequential(*layers)
        self.to_image = he(UpsampledConv(width, spec.channels), gain=1.0)

    def forward(self, code: Tensor, label: Tensor) -> Tensor:
        """code: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W], about [-1, 1]."""
        code = code if self.embed is None else torch.cat([code, self.embed(label)], dim=1)
        return self.to_image(self.layers(self.project(code).unflatten(1, self.base))).float()


class Generator(nn.Module):
    """(z, label) -> image."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.decoder = Decoder(settings, spec)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Returns float32 [N, C, H, W], about [-1, 1]: clipped where they become pixels."""
        return self.decoder(z, label)


class Discriminator(nn.Module):
    """(image, label) -> reconstruction error."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels, width = halvings(spec), settings.width
        layers: list[nn.Module] = [conv3x3(spec.channels, width, stride=2), nn.ELU()]
        for _ in range(levels - 1):
            layers += [conv3x3(width, width, stride=2), nn.ELU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.to_code = nn.Linear(width * (spec.height >> levels) * (spec.width >> levels), settings.z_dim)
        self.decoder = Decoder(settings, spec)
        self.relative = settings.relative_error

    def reconstruct(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns the like of the image."""
        return self.decoder(self.to_code(self.layers(image)), label)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Mean absolute error of each image's reconstruction, L(x) of Eq. 1 with eta = 1: float32 [N].

        With `relative_error`, which is not theirs, over the image's brightness: mean(x + 1) + 0.1, of pixels that are no darker
        than black, which G's may be.
        """
        error = F.l1_loss(self.reconstruct(image, label), image, reduction="none").mean(dim=(1, 2, 3))
        if not self.relative:
            return error
        return error / ((image.clamp(min=-1) + 1).mean(dim=(1, 2, 3)) + LEAST_BRIGHTNESS)
