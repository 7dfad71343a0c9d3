"""How good the images are: figures of a checkpoint or a served file, each beside its floor."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.progress import Progress

from training.data.dataset import Dataset
from training.errors import UserError
from training.evaluation.generated import Source, images_of
from training.evaluation.quality import comparison
from training.evaluation.quality.comparison import Figure, Sample, Value, beside, look, measured
from training.evaluation.quality.frechet import frechet_error
from training.evaluation.quality.judging import REMEMBERED, Advance, JudgeSettings, usefulness
from training.evaluation.reference import Bench, Reference, bar


@dataclass(frozen=True)
class Verdict:
    """One judge, and its figures by name."""

    judge: JudgeSettings
    train_accuracy: float
    unseen_accuracy: float
    test_accuracy: float
    figures: dict[str, Figure]
    class_accuracies: dict[str, Figure]
    class_diversities: dict[str, Figure]
    """How far apart a class's images are in features, over how far its real ones are."""


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured of one generator; `to_json` is what goes into files."""

    dataset: str
    split: str
    images: int
    """In each draw."""
    draws: int
    origin: dict[str, Any]
    verdicts: list[Verdict]
    pixels: dict[str, Figure]
    """Variety, use and likelihood, in which no judge has a say."""
    memory: dict[str, Figure]
    """Distances to training images."""
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_beside(
    real: Reference, source: Source, progress: Progress, count: int, several: int = 1
) -> Evaluation:
    """Compares as many generated images as there are real ones; a note says so where those are fewer than `count`.

    several: draws of so many each, from other seeds, whose spread says what the choice of seeds makes.
    Raises UserError: the data set is another than the generator's.
    """
    dataset = real.dataset
    check_match(source, dataset)
    samples = generated(source, real.size, several, bar(progress, "generate", several * real.size))
    done = bar(progress, "compare", len(real.benches) + 1)
    verdicts = []
    for bench in real.benches:
        verdicts.append(verdict(bench, samples, source.classes or ()))
        done(1)
    sample = samples[0]
    values = comparison.in_pixels(real.held_out, sample)
    if sample.labels is not None:
        training = bar(progress, "student", real.student_images)
        learnt = usefulness(dataset, sample.images, sample.labels, real.student_images, training)
        values["usefulness"] = Value(learnt, real.size)
    pixels = beside([values], [real.pixel_floors])
    memory = beside([comparison.memorisation(sample.images, dataset.images)], [real.memory_floors])
    done(1)
    about = (dataset.name, dataset.split, real.size, several, source.origin)
    return Evaluation(*about, verdicts, pixels, memory, list(_notes(source, real, count)))


def generated(source: Source, size: int, several: int, advance: Advance) -> list[Sample]:
    """Draws of seeds 0 to size - 1, and so on, each in random order."""
    images, labels = images_of(source, several * size, advance)
    orders = (np.random.default_rng(i).permutation(size) + i * size for i in range(several))
    return [Sample(images[rows], labels[rows] if source.has_classes else None) for rows in orders]


def verdict(bench: Bench, samples: Sequence[Sample], classes: Sequence[str]) -> Verdict:
    """samples: the draws of a generator. classes: none where it is not told the class."""
    real, judge = bench.held_out, bench.judge
    looks = [look(judge, sample) for sample in samples]
    drawn = [measured(real, seen, classes) for seen in looks]
    figures, first = drawn[0].figures, looks[0]
    error = frechet_error(real.features, first.features, first.labels)
    figures["frechet_distance"] = figures["frechet_distance"]._replace(standard_error=error)
    parts = zip(zip(*drawn, strict=True), zip(*bench.floors, strict=True), strict=True)
    found = [beside(values, floors) for values, floors in parts]
    accuracies = (judge.train_accuracy, judge.unseen_accuracy, judge.test_accuracy)
    return Verdict(bench.settings, *accuracies, *found)


def check_match(source: Source, dataset: Dataset) -> None:
    """Raises UserError where figures would compare different things."""
    spec, image = dataset.spec, source.image
    made, real = (image.channels, image.height, image.width), (spec.channels, spec.height, spec.width)
    if made != real:
        raise UserError(f"the generator makes images of shape {made}, data set {spec.dataset} has {real}")
    if source.classes is not None and source.classes != spec.class_names:
        raise UserError(
            f"the generator's classes are {', '.join(source.classes)}; "
            f"those of data set {spec.dataset} are {', '.join(spec.class_names)}"
        )


def _notes(source: Source, real: Reference, count: int) -> Iterator[str]:
    dataset, size = real.dataset, real.size
    for bench in real.benches:
        judge = bench.judge
        if judge.train_accuracy - judge.unseen_accuracy > REMEMBERED:
            yield (
                f"Judge '{judge.architecture}' remembers its training images: {100 * judge.train_accuracy:.1f} % of them "
                f"right, {100 * judge.unseen_accuracy:.1f} % of the half that it never saw."
            )
    if not dataset.has_classes:
        yield (
            "All images are of one class: figures of classes, the inception score and what a classifier learns of the images "
            "are left out. The judges learnt by how many quarter turns an image was turned (Gidaris et al. 2018), and are right "
            "about that."
        )
    elif source.classes is None:
        yield "The generator is not told the class: figures of single classes do not apply."
    if size < count:
        yield f"{size} images instead of {count}: no more real ones are unseen by generator or judges."
    shares = np.bincount(dataset.test_labels, minlength=len(dataset.class_names)) / len(dataset.test_labels)
    if shares.max() > 1.2 * shares.mean():
        yield "Generated classes are equally frequent, the real ones are not: distances include that difference."
