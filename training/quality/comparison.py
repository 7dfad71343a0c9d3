"""Real and generated images, compared."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from training.quality.coverage import coverage
from training.quality.frechet import frechet_distance
from training.quality.inception_score import inception_score
from training.quality.judge import Judge
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


def figures(
    judge: Judge, held_out: Sample, training: Sample, generated: Sample, conditional: bool
) -> dict[str, Figure]:
    """What one judge finds. The three samples are of one size."""
    size = len(generated.images)
    real, floor, fake = judge(held_out.images), judge(training.images), judge(generated.images)
    near, near_floor = (
        coverage(real.features, fake.features, NEIGHBOURS),
        coverage(real.features, floor.features, NEIGHBOURS),
    )
    pairs = {
        "frechet_distance": [frechet_distance(real.features, x.features) for x in (fake, floor)],
        "kernel_distance": [kernel_distance(real.features, x.features) for x in (fake, floor)],
        "inception_score": [inception_score(x.probabilities) for x in (fake, real)],
        **{name: [value, asdict(near_floor)[name]] for name, value in asdict(near).items()},
    }
    if conditional:
        pairs["class_accuracy"] = [
            float((seen.probabilities.argmax(axis=1) == sample.labels).mean())
            for seen, sample in ((fake, generated), (real, held_out))
        ]
    return {name: Figure(value, reference, size) for name, (value, reference) in pairs.items()}


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
