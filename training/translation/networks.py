"""pix2pix's networks (Isola et al. 2017, arXiv 1611.07004, section 3.2): a U-Net, and a discriminator of patches; two of each for CycleGAN.

Theirs but for: pictures from 28 pixels on; no dropout, as which their noise came, and which left "only minor stochasticity"
(section 3.1), so that a picture in is one picture out; nearest neighbour and a convolution in place of a transposed
one; instance norm, which their batch norm is at their batch of 1. So no picture depends on others of its batch.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from training.gan.networks.layers import conv3x3, halvings, he, upsample
from training.settings import ImageSpec
from training.translation.settings import Settings


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
        x = enlarged(picture, self.size)
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
    """Pictures -> a logit for each patch: of 16 pixels at sides of 28 and 32, of 34 at 64, of 70 at 128."""

    def __init__(self, channels: int, spec: ImageSpec, width: int) -> None:
        """channels: of all pictures that it sees beside each other."""
        super().__init__()
        self.size = spec.height, spec.width
        halved = halvings(spec) - 1
        layers: list[nn.Module] = []
        before = channels
        for level in range(halved + 1):
            after = width * 2 ** min(level, 3)
            layers.append(he(nn.Conv2d(before, after, 4, stride=2 if level < halved else 1, padding=1)))
            layers += [Norm(after)] if level else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.layers = nn.Sequential(*layers, he(nn.Conv2d(before, 1, 4, padding=1), gain=1.0))

    def forward(self, *pictures: Tensor) -> Tensor:
        """pictures: float32 [N, c, h, w] in [-1, 1], what went in first. Returns logits, float32 [N, 1, P, Q]."""
        return self.layers(torch.cat([enlarged(one, self.size) for one in pictures], dim=1))


class Pool(nn.Module):
    """Earlier fakes, which D is shown half of the time, so that it does not forget them (section 2.3 of Shrivastava et al. 2017, arXiv 1612.07828).

    Buffers, so that a run that goes on has them.
    """

    images: Tensor
    held: Tensor

    def __init__(self, spec: ImageSpec, size: int = 50) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, spec.channels, spec.height, spec.width))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    def forward(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """Of each fake itself, or an earlier one whose place it takes; without gradient. fakes: float32 [N, C, H, W]."""
        shown = []
        for fake in fakes.detach():
            if self.held < len(self.images):
                self.images[self.held] = fake
                self.held += 1
            elif rng.random() < 0.5:
                place = int(rng.integers(len(self.images)))
                earlier = self.images[place].clone()
                self.images[place], fake = fake, earlier
            shown.append(fake)
        return torch.stack(shown)


def networks(settings: Settings, given: int, spec: ImageSpec) -> tuple[nn.Module, nn.Module]:
    """G and D; of CycleGAN there and back, and D and pool of each. given: channels of the picture that goes in."""
    if not settings.unpaired:
        return Generator(given, spec, settings.width), Discriminator(
            given + spec.channels, spec, settings.width
        )
    G = nn.ModuleList(Generator(given, spec, settings.width) for _ in range(2))
    D = [Discriminator(spec.channels, spec, settings.width) for _ in range(2)]
    return G, nn.ModuleList([*D, Pool(spec), Pool(spec)])


def enlarged(picture: Tensor, size: tuple[int, int]) -> Tensor:
    x = picture.repeat_interleave(size[0] // picture.shape[2], 2)
    return x.repeat_interleave(size[1] // picture.shape[3], 3)
