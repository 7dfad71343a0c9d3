"""Which pictures go in, and which should come out.

Pairs: rules by which a real picture gives the one that goes in, so that any data set has them. A rule is a pure function,
uint8 [N, C, H, W] -> uint8 [N, c, h, w], of each picture alone. Or two classes without pairs: CycleGAN.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, Pixels
from training.errors import UserError
from training.translation.settings import CLASSES, Settings

# Of the 1020 that a step from black to white has.
EDGE = 255


class Rule(NamedTuple):
    """about: what goes in, for people. needs_colour: whether grey pictures would go in as they are."""

    of: Callable[[Pixels], Pixels]
    about: str
    needs_colour: bool = False

    def channels(self, channels: int) -> int:
        """Of what goes in, where the real picture has so many."""
        return self.of(np.zeros((1, channels, 4, 4), np.uint8)).shape[1]


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
    CLASSES: Rule(lambda images: images, "pictures of one class, which become those of another: CycleGAN"),
}


def rule_of(name: str, channels: int) -> Rule:
    """Raises UserError: a rule that leaves these pictures as they are."""
    rule = RULES[name]
    if rule.needs_colour and channels == 1:
        raise UserError(f"--rule {name} needs colour, and these pictures are grey already")
    return rule


def domains(settings: Settings, dataset: Dataset) -> tuple[Dataset, Dataset]:
    """What the rule is given its pictures of, and the pictures that should come out; one and the same where it makes pairs.

    Raises UserError: classes that the data set has not, or that the rule does not ask for.
    """
    asked = {"--from": settings.source, "--to": settings.target}
    if not settings.unpaired:
        if any(asked.values()):
            raise UserError(f"--from and --to are of --rule {CLASSES}")
        return dataset, dataset
    for option, name in asked.items():
        if not dataset.has_classes or name not in dataset.class_names:
            known = ", ".join(dataset.class_names) if dataset.has_classes else "none"
            raise UserError(f"{option} '{name}': no class of {dataset.name}, which has {known}")
    if settings.source == settings.target:
        raise UserError("--from and --to are the same class")
    return dataset.only(settings.source), dataset.only(settings.target)
