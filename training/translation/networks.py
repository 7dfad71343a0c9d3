"""pix2pix's networks (Isola et al. 2017, arXiv 1611.07004, section 3.2): a U-Net, and a discriminator of patches.

Theirs but for: pictures from 28 pixels on; no dropout, as which their noise came, and which left "only minor stochasticity"
(section 3.1), so that a picture in is one picture out; nearest neighbour and a convolution in place of a transposed
one; instance norm, which their batch norm is at their batch of 1. So no picture depends on others of its batch.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from training.gan.networks.layers import conv3x3, halvings, he, upsample
from training.settings import ImageSpec


class Norm(nn.Module):
    """Instance norm (Ulyanov et al. 2016, arXiv 1607.08022, Eq. 1), with a scale and a shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return torch.addcmul(self.shift, (x - mean) * torch.rsqrt(variance + 1e-5), self.scale)


class Generator(nn.Module):
    """picture -> image: halved to a side of 4, doubled again, each time beside what had that size on the way down."""

    def __init__(self, given: int, spec: ImageSpec, width: int) -> None:
        """given: channels of the picture that goes in; spec: of the image."""
        super().__init__()
        self.size = spec.height, spec.width
        channels = [given, *(width * 2 ** min(level, 2) for level in range(halvings(spec) + 1))]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (outer, inner) in enumerate(pairwise(channels)):
            norm = Norm(inner) if level else nn.Identity()
            self.down.append(nn.Sequential(conv3x3(outer, inner, stride=2), norm, nn.LeakyReLU(0.2)))
            above = outer if level else width // 2
            up = nn.Sequential(conv3x3(inner + outer, above), Norm(above), nn.ReLU())
            self.up.insert(0, up)
        deep = channels[-1]
        self.middle = nn.Sequential(conv3x3(deep, deep), Norm(deep), nn.ReLU())
        self.to_image = he(nn.Conv2d(width // 2, spec.channels, 3, padding=1), gain=1.0)

    def forward(self, picture: Tensor) -> Tensor:
        """picture: float32 [N, c, h, w] in [-1, 1], of any size of which the image is a multiple. Returns [N, C, H, W]."""
        x = picture.repeat_interleave(self.size[0] // picture.shape[2], 2)
        x = x.repeat_interleave(self.size[1] // picture.shape[3], 3)
        beside = []
        for layer in self.down:
            beside.append(x)
            x = layer(x)
        x = self.middle(x)
        for layer in self.up:
            skip = beside.pop()
            # An odd side was rounded up on the way down.
            x = layer(torch.cat([upsample(x)[:, :, : skip.shape[2], : skip.shape[3]], skip], dim=1))
        return torch.tanh(self.to_image(x))


class Discriminator(nn.Module):
    """(picture, image) -> a logit for each patch: of 16 pixels at sides of 28 and 32, of 34 at 64, of 70 at 128."""

    def __init__(self, given: int, spec: ImageSpec, width: int) -> None:
        super().__init__()
        self.size = spec.height, spec.width
        halved = halvings(spec) - 1
        layers: list[nn.Module] = []
        before = given + spec.channels
        for level in range(halved + 1):
            after = width * 2 ** min(level, 3)
            layers.append(he(nn.Conv2d(before, after, 4, stride=2 if level < halved else 1, padding=1)))
            layers += [Norm(after)] if level else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.layers = nn.Sequential(*layers, he(nn.Conv2d(before, 1, 4, padding=1), gain=1.0))

    def forward(self, picture: Tensor, image: Tensor) -> Tensor:
        """picture: float32 [N, c, h, w]; image: float32 [N, C, H, W]; both in [-1, 1]. Returns logits, float32 [N, 1, P, Q]."""
        x = picture.repeat_interleave(self.size[0] // picture.shape[2], 2)
        x = x.repeat_interleave(self.size[1] // picture.shape[3], 3)
        return self.layers(torch.cat([x, image], dim=1))
