"""When to stop a run that cannot come to anything, and what to say."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from training.dataset import Dataset
from training.errors import UserError
from training.state import State


class TrainingFailed(UserError):
    """The run stopped itself; the message says what to try."""


def check_finite(figures: dict[str, float], images_seen: int) -> None:
    """Stop at the first NaN or infinity: nothing that follows can be right. Raises TrainingFailed."""
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise TrainingFailed(
            f"{', '.join(broken)} became NaN or infinite after {images_seen:,} images. Try half the learning rates "
            "(--set lr_g=5e-4 --set lr_d=5e-4), a larger R1 strength (--set r1_gamma=1 --set r1_gamma_end=1), or "
            "--precision fp32, each with a new --run. The checkpoint is from before."
        )


def check_weights(state: State) -> None:
    """The same for the weights, before they are saved: figures are read only now and then.

    Raises TrainingFailed.
    """
    sums = {
        f"weights/{name}": float(torch.stack([p.detach().sum() for p in network.parameters()]).sum())
        for name, network in (("G", state.G), ("D", state.D))
    }
    check_finite(sums, state.images_seen)


class CollapseAlarm:
    """Mode collapse: within a class, the generated pictures become one picture.

    The figure is the pixels' standard deviation across a class's pictures, averaged over pixels
    and classes, over that of real ones: about 1 in a good run, 0 when z no longer matters. It is
    blind to subtler losses of variety, which recall and coverage measure at `evaluate`.
    """

    LIMIT = 0.15
    # Under it in two looks running, past the first tenth of a run, where blobs are normal.

    def __init__(self, dataset: Dataset, rows: int, columns: int) -> None:
        self.real = np.mean(
            [spread(dataset.images[dataset.labels == label][:256]) for label in range(rows)]
        ) * math.sqrt((columns - 1) / columns)
        self.low_before = False

    def diversity(self, class_rows: NDArray[np.uint8]) -> float:
        """class_rows: uint8 [classes, pictures a class, C, H, W]. Returns >= 0, 1 as diverse as real."""
        return float(np.mean([spread(row) for row in class_rows]) / max(self.real, 1e-9))

    def check(self, diversity: float, progress: float, images_seen: int) -> None:
        """progress: 0 to 1. Raises TrainingFailed at the second low look."""
        low = progress > 0.1 and diversity < self.LIMIT
        if low and self.low_before:
            raise TrainingFailed(
                f"Mode collapse: after {images_seen:,} images the pictures within a class differ by {diversity:.0%} of "
                "what real ones do. Try a larger R1 strength (--set r1_gamma=1 --set r1_gamma_end=1), half the learning "
                "rates (--set lr_g=5e-4 --set lr_d=5e-4), or, for fewer than about 10,000 training images, "
                "--augment brightness,translation,cutout."
            )
        self.low_before = low


def spread(images: NDArray[np.uint8]) -> float:
    """Standard deviation across images [N, C, H, W], averaged over pixels, in grey levels."""
    return float(images.std(axis=0, dtype=np.float32).mean())
