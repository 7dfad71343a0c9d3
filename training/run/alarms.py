"""When to stop a run that cannot come to anything, and what to say."""

import math

import numpy as np

from training.data.dataset import Dataset, Pixels
from training.errors import UserError
from training.gan.state import State
from training.run.watchdogs import COLLAPSE, DIVERGENCE, images_an_update, remedy
from training.settings import Settings


class TrainingFailed(UserError):
    """The run stopped itself; the message says what to try."""


def check_finite(figures: dict[str, float], images_seen: int, to_try: str) -> None:
    """Stop at the first NaN or infinity: nothing that follows can be right. Raises TrainingFailed."""
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise TrainingFailed(
            f"Divergence: {', '.join(broken)} became NaN or infinite after {images_seen:,} images. "
            f"{to_try} The checkpoint is from before."
        )


def check_weights(state: State, settings: Settings) -> None:
    """The same for the weights, before they are saved: figures are read only now and then. Raises TrainingFailed."""
    sums = {
        f"weights/{name}": float(sum(p.detach().sum() for p in network.parameters()))
        for name, network in (("G", state.G), ("D", state.D))
    }
    check_finite(sums, state.images_seen, remedy(DIVERGENCE, settings))


class Diversity:
    """Mode collapse: within a class, the generated pictures become one picture.

    The pixels' standard deviation across a class's pictures, averaged over pixels and classes, over that of real ones: about
    1 in a good run, 0 when z no longer matters. It is blind to subtler losses, which `evaluate` measures.
    """

    def __init__(self, dataset: Dataset, rows: int, columns: int) -> None:
        real = [spread(dataset.images[dataset.labels == label][:256]) for label in range(rows)]
        self.real = np.mean(real) * math.sqrt((columns - 1) / columns)

    def of(self, class_rows: Pixels) -> float:
        """class_rows: uint8 [classes, pictures per class, C, H, W]. Returns >= 0, 1 as diverse as real."""
        return float(np.mean([spread(row) for row in class_rows]) / max(self.real, 1e-9))


LOW_DIVERSITY = 0.15
# Until both are past, one blob for all is no collapse but a generator that has not begun.
EARLY_UPDATES, EARLY_SHARE = 1000, 0.1


def is_low(diversity: float, images_seen: int, settings: Settings) -> bool:
    """Whether a look shows all but one picture per class, at a time when that is no longer normal."""
    early = max(EARLY_UPDATES * images_an_update(settings), EARLY_SHARE * settings.images)
    return images_seen > early and diversity < LOW_DIVERSITY


def collapse(diversity: float, images_seen: int, settings: Settings) -> str:
    """What is said of it."""
    return (
        f"Mode collapse: after {images_seen:,} images the pictures within a class differ by {diversity:.0%} of "
        f"what real ones do. {remedy(COLLAPSE, settings)}"
    )


def spread(images: Pixels) -> float:
    """Standard deviation across images [N, C, H, W], averaged over pixels, in grey levels."""
    return float(images.std(axis=0, dtype=np.float32).mean())
