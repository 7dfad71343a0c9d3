"""Images that a server drew."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and where each can be asked for again."""

    images: NDArray[np.uint8]
    """uint8 [N, H, W, C], C 1 (grey), 3 (RGB) or 4 (RGBA)."""
    labels: NDArray[np.int64] | None
    """int64 [N], indexes into the `classes` of the model's card, of several the heaviest; None for an unconditional model."""
    seeds: NDArray[np.int64] | None
    """int64 [N]; None where z was given."""
    model: str
    version: str


@dataclass(frozen=True, eq=False)
class Frames:
    """The images of a way between points, uint8 [N, H, W, C]."""

    images: NDArray[np.uint8]
    model: str
    version: str
