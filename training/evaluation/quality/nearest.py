"""Has the generator memorised its training images?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min


@dataclass(frozen=True)
class Nearest:
    """Distances to the nearest training image, in grey levels (0 to 255, root mean square a pixel)."""

    median: float
    lowest_percent: float
    """The first percentile: copies pull this one to 0."""


def nearest(distances: NDArray[np.floating]) -> Nearest:
    """distances: [N], of `distances_to_training`."""
    return Nearest(median=float(np.median(distances)), lowest_percent=float(np.percentile(distances, 1)))


def distances_to_training(images: NDArray[np.uint8], training: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far each image is from the training image most like it.

    The test of memorisation of Goodfellow et al. 2014 (section 5) in figures: a generator that
    copies is nearer to its training images than unseen real images are.

    images: uint8 [N, C, H, W]; training: uint8 [M, C, H, W].
    Returns float64 [N]: the root of the mean squared difference over all pixels, in grey levels.
    """
    return nearest_training(images, training)[1]


def nearest_training(
    images: NDArray[np.uint8], training: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which training image is most like each image, int64 [N], and how far it is, as above."""
    flat, flat_training = (array.reshape(len(array), -1).astype(np.float32) for array in (images, training))
    rows, distances = pairwise_distances_argmin_min(flat, flat_training)
    return np.asarray(rows, np.int64), np.asarray(distances, np.float64) / np.sqrt(flat.shape[1])
