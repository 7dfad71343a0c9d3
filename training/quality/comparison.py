"""Real and generated images, compared."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from training.quality.coverage import coverage
from training.quality.frechet import frechet_distance
from training.quality.inception_score import inception_score
from training.quality.judge import Judge, Judgement
from training.quality.kernel import kernel_distance
from training.quality.nearest import distances_to_training, nearest

NEIGHBOURS = 5
NEAREST_IMAGES = 2000
# Of so many images the nearest among all training images is sought: eight seconds of a core on Fashion-MNIST.


@dataclass(frozen=True)
class Figure:
    """A figure of the generated images, the same of real images, and of how many of each."""

    value: float
    floor: float
    images: int


@dataclass(frozen=True)
class Sample:
    """images: uint8 [N, C, H, W]; labels: int64 [N], what each should be."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """A sample through a judge's eyes."""

    judgement: Judgement
    labels: NDArray[np.int64]

    @property
    def features(self) -> NDArray[np.float32]:
        return self.judgement.features

    @property
    def recognised(self) -> NDArray[np.bool_]:
        """[N]: whether the judge takes the image for what it should be."""
        return self.judgement.probabilities.argmax(axis=1) == self.labels


def look(judge: Judge, sample: Sample) -> Seen:
    return Seen(judge(sample.images), sample.labels)


def figures(real: Seen, training: Seen, fake: Seen) -> dict[str, Figure]:
    """Distances and shares between generated and held-out real images.

    The floor is what real training images reach in the generated ones' place; for the Inception
    Score it is that of the held-out images. The three samples are of one size.
    """
    near, near_floor = (coverage(real.features, x.features, NEIGHBOURS) for x in (fake, training))
    pairs = {
        "frechet_distance": [frechet_distance(real.features, x.features) for x in (fake, training)],
        "kernel_distance": [kernel_distance(real.features, x.features) for x in (fake, training)],
        "inception_score": [inception_score(x.judgement.probabilities) for x in (fake, real)],
        **{name: [value, asdict(near_floor)[name]] for name, value in asdict(near).items()},
    }
    return {name: Figure(value, floor, len(fake.labels)) for name, (value, floor) in pairs.items()}


def class_accuracy(real: Seen, fake: Seen) -> Figure:
    """The share of all images that the judge recognises, generated beside real."""
    return Figure(float(fake.recognised.mean()), float(real.recognised.mean()), len(fake.labels))


def class_accuracies(real: Seen, fake: Seen, class_names: Sequence[str]) -> dict[str, Figure]:
    """The share of each class's images that the judge recognises, generated beside real."""
    found = {}
    for label, name in enumerate(class_names):
        hits, real_hits = (x.recognised[x.labels == label] for x in (fake, real))
        if len(hits) and len(real_hits):
            found[name] = Figure(float(hits.mean()), float(real_hits.mean()), len(hits))
    return found


def memorisation(
    generated: NDArray[np.uint8], unseen: NDArray[np.uint8], training: NDArray[np.uint8]
) -> dict[str, Figure]:
    """Distances to the nearest training image, beside those of unseen real images."""
    size = min(NEAREST_IMAGES, len(generated), len(unseen))
    fake, real = (nearest(distances_to_training(images[:size], training)) for images in (generated, unseen))
    return {
        "nearest_median": Figure(fake.median, real.median, size),
        "nearest_lowest_percent": Figure(fake.lowest_percent, real.lowest_percent, size),
    }
