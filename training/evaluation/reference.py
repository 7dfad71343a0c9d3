"""The real images that generated ones are compared with, and the floors: what other real images reach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from training.data.dataset import Dataset, Indices, Pixels
from training.errors import UserError
from training.evaluation.quality import comparison, judging
from training.evaluation.quality.comparison import Measured, Sample, Seen, Value, look, measured
from training.evaluation.quality.frechet import in_shares
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import Advance, JudgeSettings

MIN_IMAGES = 20
# Of the floors, as many as the images that a judge has not seen are enough for: of 30,000, three of 10,000.
FLOOR_DRAWS = 8


@dataclass(frozen=True)
class Bench:
    """A judge, the held-out images through its eyes, and its floors, one for each draw of unseen images."""

    settings: JudgeSettings
    judge: Judge
    held_out: Seen
    floors: list[Measured]


@dataclass(frozen=True)
class Reference:
    """Real images of a data set, as many as are generated, with all that depends on nothing else."""

    dataset: Dataset
    held_out: Sample
    benches: list[Bench]
    pixel_floors: dict[str, Value]
    memory_floors: dict[str, Value]
    student_images: int
    """How long a classifier is trained on generated images."""

    @property
    def size(self) -> int:
        return len(self.held_out.images)


def without_floors(
    dataset: Dataset, judges: Sequence[JudgeSettings], cache: Path, progress: Progress, count: int = 10_000
) -> Reference:
    """`count` held-out images, or as many as both splits have, through each judge's eyes: enough to compare generators by.

    Raises UserError where the data set is too small.
    """
    size = size_of(dataset, judges, count)
    bars = [bar(progress, f"judge {one.architecture}", judging.length(dataset, one)) for one in judges]
    trained = [judging.judge_for(dataset, one, cache, done) for one, done in zip(judges, bars, strict=True)]
    (held_out,) = as_told(dataset, draws(dataset.test_images, dataset.test_labels, size, most=1))
    benches = [
        Bench(settings, judge, look(judge, held_out), [])
        for settings, judge in zip(judges, trained, strict=True)
    ]
    return Reference(dataset, held_out, benches, {}, {}, min(judging.STUDENT_IMAGES, judges[0].images))


def reference(
    dataset: Dataset, judges: Sequence[JudgeSettings], cache: Path, progress: Progress, count: int = 10_000
) -> Reference:
    """The same with their floors.

    A floor is what as many real images of the training split, which the judge was not trained on, reach in the
    generated ones' place, each class as often as there; of the nearest training image what the held-out images reach.
    Raises UserError where the data set is too small.
    """
    real = without_floors(dataset, judges, cache, progress, count)
    done = bar(progress, "floors", len(judges) + 1)
    benches = []
    for bench in real.benches:
        unseen = floor_samples(dataset, bench.settings, real.size)
        floors = [measured(bench.held_out, look(bench.judge, one), dataset.class_names) for one in unseen]
        if not dataset.has_classes:  # it is of classes
            for floor in floors:
                del floor.figures["inception_score"]
        benches.append(replace(bench, floors=floors))
        done(1)
    (training,) = as_told(dataset, draws(dataset.images, dataset.labels, real.size, most=1))
    pixel_floors = comparison.in_pixels(real.held_out, training)
    if training.labels is not None:
        student = bar(progress, "student", real.student_images)
        learnt = judging.usefulness(dataset, training.images, training.labels, real.student_images, student)
        pixel_floors["usefulness"] = Value(learnt, real.size)
    memory_floors = comparison.memorisation(real.held_out.images, dataset.images)
    done(1)
    return replace(real, benches=benches, pixel_floors=pixel_floors, memory_floors=memory_floors)


def judge_by(
    dataset: Dataset, name: str, images: int | None, cache: Path, progress: Progress
) -> tuple[Judge, JudgeSettings]:
    """One judge of this data set alone. images: of its training; by default its own."""
    (settings,) = judging.judges_of([name], images)
    done = bar(progress, f"judge {name}", judging.length(dataset, settings))
    return judging.judge_for(dataset, settings, cache, done), settings


def size_of(dataset: Dataset, judges: Sequence[JudgeSettings], count: int) -> int:
    """How many images are compared. Raises UserError where the data set is too small."""
    unseen = min(len(judging.halves(dataset.labels, settings.seed)[1]) for settings in judges)
    size = min(count, len(dataset.test_images), unseen)
    if size < MIN_IMAGES:
        raise UserError(
            f"{dataset.name}: {size} real images to compare with; {MIN_IMAGES} are the least that means anything"
        )
    return size


def floor_samples(dataset: Dataset, settings: JudgeSettings, size: int) -> list[Sample]:
    """Draws of the training images that this judge was not trained on."""
    _, unseen = judging.halves(dataset.labels, settings.seed)
    return as_told(dataset, draws(dataset.images[unseen], dataset.labels[unseen], size, FLOOR_DRAWS))


def as_told(dataset: Dataset, samples: list[Sample]) -> list[Sample]:
    """Without labels where all have the same one: figures of classes would say nothing."""
    return samples if dataset.has_classes else [one._replace(labels=None) for one in samples]


def draws(images: Pixels, labels: Indices, size: int, most: int) -> list[Sample]:
    """As many disjoint samples as there are images for, `most` at most, each in random order.

    Each has the classes in the shares that they have in all: else their counts vary from draw to draw, which
    Fréchet distances see (eight draws of 10,000: 0.025 ± 0.005, and 0.019 ± 0.002 with equal classes). In random
    order, because blocks in which every class comes equally often bias the kernel distance downwards.
    """
    rng = np.random.default_rng(0)
    rows = in_shares(rng, len(labels), labels)
    chosen = [rng.permutation(rows[i * size : (i + 1) * size]) for i in range(min(most, len(rows) // size))]
    return [Sample(images[one], labels[one]) for one in chosen]


def bar(progress: Progress, description: str, total: int) -> Advance:
    task = progress.add_task(description, total=total)
    return lambda done: progress.update(task, advance=done)
