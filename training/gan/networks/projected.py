"""Projected GAN: a discriminator that sees the image through a network which knows photographs, at four scales.

Sauer et al. 2021 (arXiv 2111.01007, section 3): features of a frozen network, mixed across channels and across scales by
frozen random convolutions, so that no head can rest on a few of them, and a small discriminator for each scale. Its
generator is this project's own. Here the heads are told the class, by projection (Miyato and Koyama 2018, Eq. 3), and one
more sees the image itself: enlarging blurs single pixels, and without it pictures came out dotted.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.gan.networks import residual
from training.gan.networks.features import CHANNELS, Features, FrozenConv
from training.settings import ImageSpec, Settings

Generator = residual.Generator
SIDE = 64
"""Smaller images are enlarged to it before they are looked at: the network was made for 224."""
MIXED = (64, 64, 128, 256)
"""Channels that the heads see, from the finest scale to the coarsest."""
PLACES = 4
"""Each head judges so many by so many places; of a map with fewer, some more than once."""


class Discriminator(nn.Module):
    """(image, label) -> logits, 16 places of the image at each of four scales and in its pixels."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.features = Features()
        self.across_channels = nn.ModuleList(map(random_conv, CHANNELS, MIXED, (1,) * 4))
        self.across_scales = nn.ModuleList(map(random_conv, MIXED[1:], MIXED[:-1], (3,) * 3))
        self.side = max(SIDE, spec.height)
        self.heads = nn.ModuleList(
            Head(channels, halvings(self.side / 4 / 2**scale), spec.classes, width=128)
            for scale, channels in enumerate(MIXED)
        )
        self.heads.append(Head(3, halvings(spec.height), spec.classes, width=64))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, 1 or 3, side, side] in [-1, 1]. label: int64 [N]. Returns float32 [N, 80]."""
        image = image.expand(-1, 3, -1, -1)
        enlarged = image if image.shape[2] == self.side else F.interpolate(image, self.side, mode="bilinear")
        seen = [*self.mixed(self.features(enlarged)), image]
        return torch.cat([head(one, label) for head, one in zip(self.heads, seen, strict=True)], dim=1)

    def mixed(self, maps: list[Tensor]) -> list[Tensor]:
        """Each map with what is above it, from the coarsest to the finest; finest first."""
        mixed = [conv(one) for conv, one in zip(self.across_channels, maps, strict=True)]
        for scale in (2, 1, 0):
            above = F.interpolate(mixed[scale + 1], size=mixed[scale].shape[2:])
            mixed[scale] = (mixed[scale] + self.across_scales[scale](above)) / math.sqrt(2)
        return mixed


class Head(nn.Module):
    """(map, label) -> float32 [N, 16], a logit for each place, spectrally normalised."""

    def __init__(self, channels: int, halvings: int, classes: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            channels = width
        layers += [spectral_norm(nn.Conv2d(channels, width, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.linear = spectral_norm(nn.Conv2d(width, 1, 1))
        self.embed = spectral_norm(nn.Embedding(classes, width))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = self.layers(x)
        # In fp32 also under autocast: a logit is a long sum.
        with torch.autocast(x.device.type, enabled=False):
            h = h.float()
            logits = self.linear(h) + (h * self.embed(label)[:, :, None, None]).sum(dim=1, keepdim=True)
            return F.adaptive_avg_pool2d(logits, PLACES).flatten(1)


def random_conv(channels_in: int, channels_out: int, kernel: int) -> FrozenConv:
    """Weights ~ N(0, 1 / fan_in): it keeps the variance."""
    weight = torch.randn(channels_out, channels_in, kernel, kernel) / kernel / math.sqrt(channels_in)
    return FrozenConv(weight, torch.zeros(channels_out))


def halvings(side: float) -> int:
    return max(0, round(math.log2(side / PLACES)))
