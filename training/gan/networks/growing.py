"""Progressive growing: both networks begin with small pictures, and a layer for each doubling is faded in.

Karras et al. 2018 (arXiv 1710.10196, table 2 and sections 2 to 4): two 3x3 convolutions at each resolution, weights equalised where
they are used, pixel norm in G, the minibatch's standard deviation in D. Theirs have no classes; here the embedded class
stands beside z, and D has a projection head (Miyato and Koyama 2018, arXiv 1802.05637, Eq. 3). They end in linear pixels, these in tanh.

Images have their full size at all times: G enlarges what it drew and D reduces what it sees, so that nothing else
need know how far they have grown. R1 is of the full size too, and so a quarter as strong at half of it.
"""

import math
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from training.gan.networks.layers import UpsampledConv, channels_at, upsample
from training.processes import OverAll
from training.settings import ImageSpec, Settings

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Growing(nn.Module):
    """A network of so many doublings, and how many of them it has grown by now: 1.25 is a quarter of the way into the second."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.levels = doublings(spec)
        self.grown = 0.0 if settings.grow else float(self.levels)
        # From the smallest resolution to the full one, which has half of `width`.
        halvings = range(self.levels, 0, -1)
        self.widths = [*(channels_at(settings, halving) for halving in halvings), max(settings.width // 2, 1)]
        self.base = (self.widths[0], spec.height >> self.levels, spec.width >> self.levels)

    # A number, not a buffer: an exported graph holds the way that was taken, and no choice.
    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.grown, dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        self.grown = float(state)

    def stage(self) -> tuple[int, float]:
        """The doublings that are used, and the share of the last one in the picture, above 0 and up to 1."""
        used = math.ceil(self.grown)
        return used, 1 - (used - self.grown)


class Generator(Growing):
    """(z, label) -> image."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__(settings, spec)
        widths = self.widths
        self.embed = nn.Embedding(spec.classes, settings.label_dim)
        self.project = equalised(nn.Linear(settings.z_dim + settings.label_dim, math.prod(self.base)))
        self.first = equalised(nn.Conv2d(widths[0], widths[0], 3, padding=1))
        self.up = nn.ModuleList(equalised(UpsampledConv(a, b)) for a, b in pairwise(widths))
        self.conv = nn.ModuleList(equalised(nn.Conv2d(b, b, 3, padding=1)) for b in widths[1:])
        self.to_image = nn.ModuleList(equalised(nn.Conv2d(a, spec.channels, 1), 1.0) for a in widths)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W] in [-1, 1]."""
        used, share = self.stage()
        x = self.project(torch.cat([pixel_norm(z), self.embed(label)], dim=1)).unflatten(1, self.base)
        x = activated(self.first(activated(x)))
        before = x
        for up, conv in zip(self.up[:used], self.conv[:used], strict=True):
            before, x = x, activated(conv(activated(up(x))))
        image = torch.tanh(self.to_image[used](x).float())
        if share < 1:
            smaller = torch.tanh(self.to_image[used - 1](before).float())
            image = torch.lerp(upsample(smaller), image, share)
        return enlarged(image, self.levels - used)


class Discriminator(Growing):
    """(image, label) -> logit. Images of one call are told apart from others by how much they differ: never mix real and generated ones."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__(settings, spec)
        widths, last = self.widths, self.widths[0]
        self.from_image = nn.ModuleList(equalised(nn.Conv2d(spec.channels, a, 1)) for a in widths)
        self.conv = nn.ModuleList(equalised(nn.Conv2d(b, b, 3, padding=1)) for b in widths[1:])
        self.down = nn.ModuleList(equalised(nn.Conv2d(b, a, 3, padding=1)) for a, b in pairwise(widths))
        self.last = equalised(nn.Conv2d(last + 1, last, 3, padding=1))
        self.features = equalised(nn.Linear(math.prod(self.base), last))
        self.linear = equalised(nn.Linear(last, 1), 1.0)
        self.embed = nn.Embedding(spec.classes, last)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(last))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns logits, float32 [N]."""
        used, share = self.stage()
        image = reduced(image, self.levels - used)
        x = F.leaky_relu(self.from_image[used](image), 0.2)
        for level in reversed(range(used)):
            x = F.leaky_relu(self.down[level](F.leaky_relu(self.conv[level](x), 0.2)), 0.2)
            x = F.avg_pool2d(x, 2)
            if share < 1 and level == used - 1:
                smaller = F.leaky_relu(self.from_image[level](reduced(image, 1)), 0.2)
                x = torch.lerp(smaller, x, share)
        x = F.leaky_relu(self.last(with_deviation(x)), 0.2)
        x = F.leaky_relu(self.features(x.flatten(1)), 0.2)
        # In fp32 also under autocast: a logit is a long sum.
        with torch.autocast(image.device.type, enabled=False):
            x = x.float()
            return self.linear(x)[:, 0] + (x * self.embed(label)).sum(dim=1)

    def faded(self, real: Tensor) -> Tensor:
        """Real images as sharp as generated ones are by now: section 2, "we interpolate between two resolutions of the real images"."""
        used, share = self.stage()
        small = reduced(real, self.levels - used)
        if share < 1:
            small = torch.lerp(upsample(reduced(small, 1)), small, share)
        return enlarged(small, self.levels - used)


def grown_by(settings: Settings, levels: int, images_seen: int) -> float:
    """Doublings by the schedule: each has an equal part of the share `grow` of the run, in the second half of which it fades in."""
    if not settings.grow:
        return float(levels)
    place = min(images_seen / settings.images / settings.grow, 1) * levels
    whole = math.floor(place)
    return whole + max(0.0, 2 * (place - whole) - 1)


def grow(networks: tuple[nn.Module, ...], settings: Settings, images_seen: int) -> None:
    """Let them grow as far as they should be. None ever shrinks, also where a run is made longer."""
    for network in networks:
        if isinstance(network, Growing):
            network.grown = max(network.grown, grown_by(settings, network.levels, images_seen))


def doublings(spec: ImageSpec) -> int:
    """From a side of 4 to 7 to the whole picture: 28 takes two, 32 three, 64 four, 128 five, 256 six."""
    levels, side = 0, min(spec.height, spec.width)
    while side > 7 and side % 2 == 0:
        levels, side = levels + 1, side // 2
    return levels


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


def equalised(layer: Layer, gain: float = math.sqrt(2)) -> Layer:
    """Weights ~ N(0, 1), times He et al.'s constant wherever they are used, so that Adam moves all at one relative speed (section 4.1)."""
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    register_parametrization(layer, "weight", Scale(gain / math.sqrt(layer.weight[0].numel())))
    return layer


def pixel_norm(x: Tensor) -> Tensor:
    """a / sqrt(mean of a^2 over channels + 1e-8), section 4.2. x: [N, C, ...]."""
    return x * torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-8).to(x.dtype)


def activated(x: Tensor) -> Tensor:
    return pixel_norm(F.leaky_relu(x, 0.2))


def with_deviation(x: Tensor) -> Tensor:
    """A channel more, the standard deviation over the minibatch, averaged over features and places (section 3). x: [N, C, H, W]."""
    mean = OverAll.apply(x.float().mean(dim=0))
    variance = OverAll.apply((x.float() - mean).square().mean(dim=0))
    deviation = (variance + 1e-8).sqrt().mean().to(x.dtype)
    return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)


def reduced(image: Tensor, halvings: int) -> Tensor:
    return F.avg_pool2d(image, 2**halvings) if halvings else image


def enlarged(image: Tensor, doublings: int) -> Tensor:
    return F.interpolate(image, scale_factor=float(2**doublings), mode="nearest") if doublings else image
