"""How good the images are: figures of a checkpoint or a served file, each beside its floor."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from training.data.dataset import Dataset
from training.errors import UserError
from training.evaluation.generated import Source, images_of
from training.evaluation.quality.comparison import (
    Figure,
    beside,
    class_accuracies,
    in_pixels,
    judged,
    look,
    memorisation,
)
from training.evaluation.quality.judging import JudgeSettings
from training.evaluation.reference import Reference, bar, draw, reference


@dataclass(frozen=True)
class Verdict:
    """One judge, and its figures by name."""

    judge: JudgeSettings
    test_accuracy: float
    figures: dict[str, Figure]
    class_accuracies: dict[str, Figure]


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured of one generator; `to_json` is what goes into files."""

    dataset: str
    split: str
    images: int
    origin: dict[str, Any]
    verdicts: list[Verdict]
    pixels: dict[str, Figure]
    """Variety and likelihood, in which no judge has a say."""
    memory: dict[str, Figure]
    """Distances to training images."""
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    source: Source,
    dataset: Dataset,
    judges: Sequence[JudgeSettings],
    cache: Path,
    progress: Progress,
    count: int = 10_000,
) -> Evaluation:
    """Compares `count` generated images, or as many as the data set has real ones, with held-out real images.

    Raises UserError: the data set is another than the generator's, or too small.
    """
    check_match(source, dataset)
    real = reference(dataset, judges, cache, progress, count)
    return evaluate_beside(real, source, progress, count)


def evaluate_beside(real: Reference, source: Source, progress: Progress, count: int) -> Evaluation:
    """The same, of a generator after another. Raises UserError: the data set is another than the generator's."""
    dataset = real.dataset
    check_match(source, dataset)
    images, labels = images_of(source, real.size, bar(progress, "generate", real.size))
    generated = draw(images, labels if source.classes else None, real.size)
    done = bar(progress, "compare", len(real.benches) + 1)
    verdicts = []
    for bench in real.benches:
        seen = look(bench.judge, generated)
        figures = beside(judged(bench.held_out, seen), bench.floors)
        by_class = class_accuracies(seen, source.classes) if source.classes else {}
        verdicts.append(
            Verdict(bench.settings, bench.judge.test_accuracy, figures, beside(by_class, bench.class_floors))
        )
        done(1)
    pixels = beside(in_pixels(real.held_out, generated), real.pixel_floors)
    memory = beside(memorisation(generated.images, dataset.images), real.memory_floors)
    done(1)
    return Evaluation(
        dataset.name,
        dataset.split,
        real.size,
        source.origin,
        verdicts,
        pixels,
        memory,
        _notes(source, dataset, count, real.size),
    )


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


def _notes(source: Source, dataset: Dataset, count: int, size: int) -> list[str]:
    notes = []
    if source.classes is None:
        notes.append("The generator is not told the class: figures of single classes do not apply.")
    if size < count:
        notes.append(f"{size} images instead of {count}: the data set has no more in both splits.")
    shares = np.bincount(dataset.test_labels, minlength=len(dataset.class_names)) / len(dataset.test_labels)
    if shares.max() > 1.2 * shares.mean():
        notes.append(
            "Generated classes are equally frequent, the real ones are not: distances include that difference."
        )
    return notes
