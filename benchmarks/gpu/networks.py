"""Generators of 10 and 100 million parameters at 64, 128 and 256 pixels, in colour, with seeded random weights.

Residual, doubled from 4x4 by nearest neighbour, each norm a scale and a shift per class: `benchmarks.models.large`, wider
and deeper.
"""

from itertools import pairwise

from benchmarks.models import _CLASSES, _LABEL_DIM, _Z_DIM, large

_SHAPES = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}
SIZES = ((10, 64), (100, 128), (10, 256), (100, 64), (10, 128), (100, 256))
"""Million parameters, pixels."""


def name(millions: float, pixels: int) -> str:
    return f"{millions:g}M-{pixels}px"


def make(millions: float, pixels: int) -> bytes:
    """The file of about so many parameters: channels are multiples of 8, as tensor cores like them."""
    return large(widths(millions, pixels))


def widths(millions: float, pixels: int) -> tuple[int, ...]:
    """Channels at 4x4, 8x8 and so on."""
    shape = _SHAPES[pixels]
    near = min(range(8, 2048, 8), key=lambda width: abs(parameters(_wide(shape, width)) - 1e6 * millions))
    return _wide(shape, near)


def parameters(channels: tuple[int, ...]) -> int:
    """As `large` makes them."""
    inputs, units = _Z_DIM + _LABEL_DIM, channels[0] * 16
    count = _CLASSES * _LABEL_DIM + (inputs + 1) * units
    for before, after in pairwise(channels):
        count += 2 * _CLASSES * (before + after) + (9 * before + 1 + 9 * after + 1 + before + 1) * after
    return count + 2 * _CLASSES * channels[-1] + (9 * channels[-1] + 1) * 3


def _wide(shape: tuple[int, ...], top: int) -> tuple[int, ...]:
    return tuple(max(8, round(top * part / shape[0] / 8) * 8) for part in shape)
