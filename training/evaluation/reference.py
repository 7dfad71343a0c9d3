"""The real images that generated ones are compared with, and the floors: what other real images reach."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from training.data.dataset import Dataset
from training.errors import UserError
from training.evaluation.quality.comparison import (
    Sample,
    Seen,
    Value,
    class_accuracies,
    in_pixels,
    judged,
    look,
    memorisation,
    recognisable,
)
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import JudgeSettings, judge_for, length

MIN_IMAGES = 20


@dataclass(frozen=True)
class Bench:
    """A judge, the held-out images through its eyes, and its floors."""

    settings: JudgeSettings
    judge: Judge
    held_out: Seen
    floors: dict[str, Value]
    class_floors: dict[str, Value]


@dataclass(frozen=True)
class Reference:
    """Real images of a data set, as many as are generated, with all that depends on nothing else."""

    dataset: Dataset
    held_out: Sample
    benches: list[Bench]
    pixel_floors: dict[str, Value]
    memory_floors: dict[str, Value]

    @property
    def size(self) -> int:
        return len(self.held_out.images)


def reference(
    dataset: Dataset, judges: Sequence[JudgeSettings], cache: Path, progress: Progress, count: int = 10_000
) -> Reference:
    """`count` held-out images, or as many as both splits have, and their floors.

    A floor is what as many real training images reach in the generated ones' place; of the Inception
    Score, the class accuracy and the nearest training image what the held-out images reach.
    Raises UserError where the data set is too small.
    """
    size = min(count, len(dataset.test_images), len(dataset.images))
    if size < MIN_IMAGES:
        raise UserError(
            f"{dataset.name}: {size} real images to compare with; {MIN_IMAGES} are the least that means anything"
        )
    trained = [
        judge_for(
            dataset,
            settings,
            cache,
            bar(progress, f"judge {settings.architecture}", length(dataset, settings)),
        )
        for settings in judges
    ]
    held_out = draw(dataset.test_images, dataset.test_labels, size)
    training = draw(dataset.images, dataset.labels, size)
    done = bar(progress, "floors", len(judges) + 1)
    benches = []
    for settings, judge in zip(judges, trained, strict=True):
        real, floor = look(judge, held_out), look(judge, training)
        floors = judged(real, floor) | recognisable(real)
        benches.append(Bench(settings, judge, real, floors, class_accuracies(real, dataset.class_names)))
        done(1)
    pixel_floors = in_pixels(held_out, training)
    memory_floors = memorisation(held_out.images, dataset.images)
    done(1)
    return Reference(dataset, held_out, benches, pixel_floors, memory_floors)


def draw(images: NDArray[np.uint8], labels: NDArray[np.int64] | None, size: int) -> Sample:
    """In random order.

    A split sorted by class would lose classes otherwise, and blocks in which every class comes equally
    often bias the kernel distance downwards: it was seen below 0 at 4.5 times the Fréchet floor.
    """
    rows = np.random.default_rng(0).permutation(len(images))[:size]
    return Sample(images[rows], None if labels is None else labels[rows])


def bar(progress: Progress, description: str, total: int) -> Callable[[int], None]:
    task = progress.add_task(description, total=total)
    return lambda done: progress.update(task, advance=done)
