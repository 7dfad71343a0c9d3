"""Pixels of any number type -> bytes, by the range that they really have."""

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Pixels


def span(low: float, high: float, whole: bool) -> tuple[float, float]:
    """What is black and what is white, where the pixels of all pictures lie between low and high.

    whole: whether they are integers. Those of a camera or scanner count from 0 and use 8 to 16 bits, whatever they
    are stored in; floating-point pictures are of 0 to 1, -1 to 1 or 0 to 255. Anything else is stretched from its
    lowest to its highest pixel.
    """
    whites = [2.0**bits - 1 for bits in range(8, 17)] if whole else [1.0, 255.0]
    likely = [(0.0, white) for white in whites] + [(-1.0, 1.0)] * (not whole)
    for black, white in likely:
        # What fills hardly any of a range has another one: -0.5 to 0.5 is not of -1 to 1.
        if black <= low and white / 4 <= high <= white and (black == 0 or low <= 0.75 * black):
            return black, white
    return low, high if high > low else low + max(1, abs(low))


def to_bytes(pixels: NDArray, black: float, white: float) -> Pixels:
    """black -> 0, white -> 255, in between to the nearest; pixels of any shape. In pieces: floats need eight times the room."""
    out = np.empty(pixels.shape, np.uint8)
    for i in range(0, len(pixels), 256):
        piece = (pixels[i : i + 256].astype(np.float64) - black) * (255 / (white - black))
        out[i : i + 256] = np.clip(np.rint(piece), 0, 255)
    return out


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Pixels so opaque, before white. Both of shapes that broadcast."""
    solid = alpha.astype(np.uint16)
    return ((pixels * solid + 255 * (255 - solid) + 127) // 255).astype(np.uint8)
