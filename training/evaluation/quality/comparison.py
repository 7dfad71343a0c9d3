"""Real and generated images, compared: every figure of `evaluate`, of any images in the generated ones' place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.generator.quality.statistics import in_class_distances
from training.data.dataset import Indices, Pixels
from training.evaluation.quality.coverage import coverage, radius
from training.evaluation.quality.diversity import in_class_similarity
from training.evaluation.quality.figures import NEIGHBOURS
from training.evaluation.quality.frechet import (
    Features,
    frechet_distance,
    frechet_error,
    frechet_infinity,
    intra_class_frechet_distance,
)
from training.evaluation.quality.inception_score import inception_score
from training.evaluation.quality.judge import Judge, Judgement
from training.evaluation.quality.kernel import kernel_distance
from training.evaluation.quality.nearest import nearest_training
from training.evaluation.quality.parzen import parzen_log_likelihood

# Of so many images the nearest among all training images is sought: eight seconds of a core on Fashion-MNIST.
NEAREST_IMAGES = 2000
# Of the held-out images, at most a tenth of them: they choose the Parzen window, and are not measured on.
VALIDATION_IMAGES = 1000
# In a class: all pairs of so many are compared in features.
_PAIRED = 2000


class Value(NamedTuple):
    """A figure of some images, of how many, and its standard error where that is customary."""

    value: float
    images: int
    standard_error: float | None = None


def mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> Value:
    """Of images, [N]."""
    return Value(float(values.mean()), len(values), standard_error(values))


def standard_error(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """Of their mean; NaN of one alone."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Figure:
    """A figure of the generated images, and its floor: the same of as many real ones.

    Both are means over draws, of seeds and of unseen real images. standard_error: over images, where it is customary.
    spread, floor_spread: the standard deviation from draw to draw, where there are several.
    """

    value: float
    floor: float
    images: int
    standard_error: float | None = None
    spread: float | None = None
    floor_spread: float | None = None


def beside(draws: Sequence[dict[str, Value]], floors: Sequence[dict[str, Value]]) -> dict[str, Figure]:
    """Each figure of the draws with its floor; only those that have one."""
    found = {}
    for name, first in draws[0].items():
        if real := [floor[name].value for floor in floors if name in floor]:
            values = [drawn[name].value for drawn in draws]
            error, spreads = first.standard_error, (_deviation(values), _deviation(real))
            found[name] = Figure(fmean(values), fmean(real), first.images, error, *spreads)
    return found


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def recognised(real: Features, made: Judgement, labels: Indices | None) -> dict[str, Value]:
    """Of other generators than those of `evaluate`: the Fréchet distance to features of real images, and class accuracy.

    labels: what each image should be; None where there are no classes. With standard errors over images.
    """
    distance, error = frechet_distance(real, made.features), frechet_error(real, made.features)
    found = {"frechet_distance": Value(distance, len(made.features), error)}
    if labels is not None:
        found["class_accuracy"] = mean(made.probabilities.argmax(axis=1) == labels)
    return found


class Sample(NamedTuple):
    """images: uint8 [N, C, H, W]; labels: int64 [N], what each should be, or None where nobody was told."""

    images: Pixels
    labels: Indices | None


@dataclass(frozen=True)
class Seen:
    """A sample through a judge's eyes."""

    judgement: Judgement
    labels: Indices | None

    @property
    def features(self) -> NDArray[np.float32]:
        return self.judgement.features

    @cached_property
    def radius(self) -> NDArray[np.floating]:
        return radius(self.features, NEIGHBOURS)

    @property
    def recognised(self) -> NDArray[np.bool_]:
        """[N]: whether the judge takes the image for what it should be."""
        return self.judgement.probabilities.argmax(axis=1) == self.labels


def look(judge: Judge, sample: Sample) -> Seen:
    return Seen(judge(sample.images), sample.labels)


def judged(real: Seen, other: Seen) -> dict[str, Value]:
    """The figures of `other` in a judge's features, against held-out real images.

    Those of single classes only where `other` has labels.
    """
    both = (real.features, other.features)
    found = {
        "frechet_distance": frechet_distance(*both),
        "frechet_infinity": frechet_infinity(*both, real.labels, other.labels),
        "kernel_distance": kernel_distance(*both),
        **coverage(*both, NEIGHBOURS, real.radius)._asdict(),
    }
    if real.labels is not None and other.labels is not None:
        apart = intra_class_frechet_distance(real.features, real.labels, other.features, other.labels)
        found["intra_class_frechet_distance"] = apart
        by_class = list(class_diversities(real, other).values()) or [float("nan")]
        found["in_class_diversity"], found["least_class_diversity"] = fmean(by_class), min(by_class)
    # No real images take part in these.
    found["inception_score"] = inception_score(other.judgement.probabilities)
    if other.labels is not None:
        found["class_accuracy"] = float(other.recognised.mean())
    return {name: Value(value, len(other.features)) for name, value in found.items()}


def class_diversities(real: Seen, other: Seen) -> dict[int, float]:
    """How far apart a class's images are in features, over how far its real ones are; by label."""
    assert real.labels is not None
    assert other.labels is not None
    # The judge's features have no unit: real images give them one.
    unit = in_class_distances(real.features, real.labels, _PAIRED)
    found = in_class_distances(other.features, other.labels, _PAIRED)
    return {label: found[label] / unit[label] for label in unit if label in found and unit[label] > 0}


class Measured(NamedTuple):
    """A sample in a judge's eyes: its figures, and those of each class by name, none where it has no labels."""

    figures: dict[str, Value]
    class_accuracies: dict[str, Value]
    class_diversities: dict[str, Value]


def measured(real: Seen, other: Seen, class_names: Sequence[str]) -> Measured:
    if other.labels is None:
        return Measured(judged(real, other), {}, {})
    accuracies = class_accuracies(other, class_names)
    apart = {class_names[label]: value for label, value in class_diversities(real, other).items()}
    diversities = {name: Value(value, accuracies[name].images) for name, value in apart.items()}
    return Measured(judged(real, other), accuracies, diversities)


def class_accuracies(seen: Seen, class_names: Sequence[str]) -> dict[str, Value]:
    """The share of each class's images that the judge recognises, where there are any."""
    hits = {name: seen.recognised[seen.labels == label] for label, name in enumerate(class_names)}
    return {name: Value(float(found.mean()), len(found)) for name, found in hits.items() if len(found)}


def in_pixels(held_out: Sample, other: Sample) -> dict[str, Value]:
    """The figures of `other` in which no judge has a say: variety within classes, and likelihood."""
    found = {}
    if other.labels is not None:
        similarity = in_class_similarity(other.images, other.labels)
        found["in_class_similarity"] = Value(similarity, len(other.images))
    split = max(1, min(VALIDATION_IMAGES, len(held_out.images) // 10))
    validation, test = held_out.images[:split], held_out.images[split:]
    likelihood = parzen_log_likelihood(other.images, validation, test)
    found["parzen_log_likelihood"] = Value(likelihood.mean, len(test), likelihood.standard_error)
    found["parzen_sigma"] = Value(likelihood.sigma, len(validation))
    return found


def memorisation(images: Pixels, training: Pixels) -> dict[str, Value]:
    """Distances to the nearest training image."""
    size = min(NEAREST_IMAGES, len(images))
    _, distances = nearest_training(images[:size], training)
    # Copies pull the first percentile to 0.
    median, lowest = np.percentile(distances, (50, 1)).tolist()
    return {"nearest_median": Value(median, size), "nearest_lowest_percent": Value(lowest, size)}
