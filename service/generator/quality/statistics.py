"""How good images are, by what a judge sees in them: figures of features, classes and labels. Pure functions of arrays."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32] | NDArray[np.float64]

DISTANCE = "frechet_distance"
"""The one figure that is the better the lower it is."""
_DEVIATIONS, _SLACK = 4.0, 0.05  # of draws of the same images, from their mean to the limit


class Gaussian(NamedTuple):
    """mean: float64 [F]; covariance: float64 [F, F]."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


class Seen(NamedTuple):
    """N images in a judge's eyes. features: [N, F]. found: the class it takes each for, int64 [N].

    labels: what they should be, int64 [N]; None of an unconditional generator.
    """

    features: Features
    found: NDArray[np.int64]
    labels: NDArray[np.int64] | None


def gaussian(features: Features) -> Gaussian:
    """features: [N, F], finite, N >= 2."""
    exact = features.astype(np.float64)
    return Gaussian(exact.mean(axis=0), np.atleast_2d(np.cov(exact, rowvar=False)))


def frechet_distance(real: Gaussian, fake: Gaussian) -> float:
    """Heusel et al. 2017 (arXiv 1706.08500), Eq. 6: |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2)).

    Returns the squared distance, >= 0, in squared feature units.
    """
    # Tr (C C_w)^(1/2) is the sum of the singular values of C^(1/2) C_w^(1/2). Two symmetric roots
    # stay real where covariances are singular (dead units, few samples), a root of the product does not.
    overlap = np.linalg.norm(_root(real.covariance) @ _root(fake.covariance), "nuc")
    difference = real.mean - fake.mean
    squared = difference @ difference + np.trace(real.covariance) + np.trace(fake.covariance) - 2 * overlap
    return max(0.0, float(squared))


def in_class_distances(features: Features, labels: NDArray[np.int64], most: int = 500) -> dict[int, float]:
    """Mean Euclidean distance between the features of two images of one class, by class; of each class that has two.

    features: [N, F]; labels: [N]; most: images of a class of which all pairs are compared. Returns >= 0, in feature units,
    0 where the class is one image. The in-class diversity is this of generated images over this of real ones.
    """
    means = {}
    for label in np.unique(labels):
        rows = features[labels == label][:most].astype(np.float64)
        count = len(rows)
        if count >= 2:
            rows = rows - rows.mean(axis=0)  # or what they have in common takes the last digits
            squares = (rows * rows).sum(axis=1)
            apart = np.sqrt((squares[:, None] + squares - 2 * rows @ rows.T).clip(min=0))
            np.fill_diagonal(apart, 0)
            means[int(label)] = float(apart.sum() / (count * (count - 1)))
    return means


def figures(real: Gaussian, unit: Mapping[int, float], seen: Seen) -> dict[str, float]:
    """By name. unit: how far real images of a class are apart, which those seen are measured by.

    Without labels the distance alone; the least of the classes are of those that have two images.
    """
    told = {DISTANCE: frechet_distance(real, gaussian(seen.features))}
    if seen.labels is None:
        return told
    right = seen.found == seen.labels
    apart = in_class_distances(seen.features, seen.labels)
    recognised = [float(right[seen.labels == label].mean()) for label in apart]
    diversities = [apart[label] / unit[label] for label in apart if unit.get(label, 0) > 0]
    told["class_accuracy"] = float(right.mean())
    if recognised:
        told["least_class_accuracy"] = min(recognised)
    if diversities:
        told["in_class_diversity"] = float(np.mean(diversities))
        told["least_class_diversity"] = min(diversities)
    return told


def limit(figure: str, draws: Sequence[float]) -> float:
    """What no draw of the same generator is worse than, as good as always. draws: the figure of some of them."""
    mean = float(np.mean(draws))
    room = _DEVIATIONS * float(np.std(draws, ddof=1)) + _SLACK * mean
    return mean + room if figure == DISTANCE else max(0.0, mean - room)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
