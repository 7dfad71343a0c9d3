"""Layers that the networks share."""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.settings import ImageSpec, Settings

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and shift are linear in a condition vector (Dumoulin et al. 2017, arXiv 1610.07629, Eq. 5).

    The condition of Brock et al. 2019 (arXiv 1809.11096, appendix B) is (z, embedding of the class).
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.scale_shift = nn.Linear(condition_dim, 2 * channels)
        # Starts as plain batch norm, whatever the condition.
        nn.init.zeros_(self.scale_shift.bias)
        nn.init.normal_(self.scale_shift.weight, std=0.02)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, H, W]. condition: [N, condition_dim]."""
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, self.normalise(x), scale + 1)


class SelfAttention(nn.Module):
    """Over positions, behind a gate that starts at zero (Zhang et al. 2019, arXiv 1805.08318, Eq. 1 to 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(channels // 8, 1), 1, bias=False)
        self.key = nn.Conv2d(channels, max(channels // 8, 1), 1, bias=False)
        self.value = nn.Conv2d(channels, max(channels // 2, 1), 1, bias=False)
        self.out = nn.Conv2d(max(channels // 2, 1), channels, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W]."""
        query, key, value = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(dim=-1)
        mixed = value @ weights.transpose(1, 2)
        return x + self.gate * self.out(mixed.unflatten(2, x.shape[2:]))


class UpsampledConv(nn.Conv2d):
    """A 3x3 convolution of the image at twice its height and width, nearest neighbour."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """input: [N, C, H, W]. Returns [N, channels_out, 2H, 2W]."""
        return super().forward(upsample(input))


class ImageConv(nn.Conv2d):
    """tanh of a 3x3 convolution at twice the height and width, where a quarter of the channels is left."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """input: [N, 4 channels_in, H, W]. Returns float32 [N, channels_out, 2H, 2W] in [-1, 1]."""
        return torch.tanh(super().forward(F.pixel_shuffle(input, 2)).float())


def halvings(spec: ImageSpec) -> int:
    """How often the image is halved to reach a side of 7 or 8: 28 and 32 take two, 64 three, 128 four."""
    return max(2, math.ceil(math.log2(max(spec.height, spec.width) / 8)))


def channels_at(settings: Settings, halving: int) -> int:
    """Channels after so many halvings of the image: width, then twice as many each, at most 8x."""
    return settings.width * 2 ** min(halving - 1, 3)


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution, initialised to keep the variance (He et al. 2015)."""
    return he(nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1))


def conv1x1(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 1x1 convolution for a skip connection: no activation follows, so the gain is 1."""
    return he(nn.Conv2d(channels_in, channels_out, 1, bias=False), gain=1.0)


def he(layer: Layer, gain: float = math.sqrt(2)) -> Layer:
    """Weights ~ N(0, gain^2 / fan_in), bias 0 (He et al. 2015, arXiv 1502.01852, Eq. 10)."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A residual branch that starts at zero, by which networks without norms train (Zhang et al. 2019, arXiv 1901.09321)."""
    nn.init.zeros_(layer.weight)
    return layer


def upsample(x: Tensor) -> Tensor:
    """Nearest neighbour, twice the height and width."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
