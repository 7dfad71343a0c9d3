"""What a picture is made of: rules by which a real picture gives the one that goes in, so that any data set has pairs.

A rule is a pure function, uint8 [N, C, H, W] -> uint8 [N, c, h, w], of each picture alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Pixels
from training.errors import UserError

# Of the 1020 that a step from black to white has.
EDGE = 255


class Rule(NamedTuple):
    """about: what goes in, for people. needs_colour: whether grey pictures would go in as they are."""

    of: Callable[[Pixels], Pixels]
    about: str
    needs_colour: bool = False


def edges(images: Pixels) -> Pixels:
    """White where any channel's Sobel gradient is above a quarter of a step from black to white; [N, 1, H, W]."""
    return np.where(gradient(images).max(axis=1, keepdims=True) > EDGE, np.uint8(255), np.uint8(0))


def quarter(images: Pixels) -> Pixels:
    """Means of 4x4 pixels, rounded: [N, C, H/4, W/4]."""
    n, channels, height, width = images.shape
    blocks = images.reshape(n, channels, height // 4, 4, width // 4, 4)
    return np.rint(blocks.mean(axis=(3, 5), dtype=np.float32)).astype(np.uint8)


def grey(images: Pixels) -> Pixels:
    """Luma of ITU-R BT.601, rounded: [N, 1, H, W]. images: RGB."""
    luma = np.tensordot(images.astype(np.float32), np.array([0.299, 0.587, 0.114], np.float32), (1, 0))
    return np.rint(luma).astype(np.uint8)[:, None]


def gradient(images: Pixels) -> NDArray[np.float32]:
    """Sobel's, its length: float32 [N, C, H, W], 0 to 1443; beyond the border the outermost pixels go on."""
    x = np.pad(images.astype(np.float32), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    down = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return np.hypot(down[..., 2:] - down[..., :-2], across[:, :, 2:] - across[:, :, :-2])


RULES = {
    "edges": Rule(edges, "white edges on black, by Sobel's gradient"),
    "quarter": Rule(quarter, "the picture at a quarter of its height and width"),
    "grey": Rule(grey, "the picture in grey", needs_colour=True),
}


def rule_of(name: str, channels: int) -> Rule:
    """Raises UserError: a rule that leaves these pictures as they are."""
    rule = RULES[name]
    if rule.needs_colour and channels == 1:
        raise UserError(f"--rule {name} needs colour, and these pictures are grey already")
    return rule
