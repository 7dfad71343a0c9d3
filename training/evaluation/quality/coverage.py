"""How much of the fakes is real-looking, and how much of the real is reached, by nearest neighbours."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from training.evaluation.quality.frechet import Features


class Coverage(NamedTuple):
    """Shares between 0 and 1, save the density, which is 1 where the fakes are as dense as the real."""

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(
    real: Features, fake: Features, k: int = 5, real_radius: NDArray[np.floating] | None = None
) -> Coverage:
    """Precision, recall, density and coverage, in balls that reach to the k-th nearest neighbour.

    Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991), Eq. 1 and 2.
    Density and coverage: Naeem et al. 2020 (arXiv 2002.09797), Eq. 2 and 3, whose k = 5 serves all four here.

    real, fake: [N, F] and [M, F], N and M > k. real_radius: `radius(real, k)`, where it is known already. A set drawn from
    the real distribution itself has, at k = 5 and N = M, a coverage of about 1 - 2^-5 = 0.97.
    """
    real_radius = radius(real, k) if real_radius is None else real_radius
    fake_radius = radius(fake, k)
    balls_around_fake = np.zeros(len(fake))
    in_fake_ball, ball_reached = np.zeros(len(real), bool), np.zeros(len(real), bool)
    start = 0
    for chunk in pairwise_distances_chunked(real, fake, working_memory=256):
        rows = slice(start, start + len(chunk))
        in_real_ball = chunk < real_radius[rows, None]
        balls_around_fake += in_real_ball.sum(axis=0)
        ball_reached[rows] = in_real_ball.any(axis=1)
        in_fake_ball[rows] = (chunk < fake_radius).any(axis=1)
        start = rows.stop
    return Coverage(
        precision=float((balls_around_fake > 0).mean()),
        recall=float(in_fake_ball.mean()),
        density=float(balls_around_fake.mean() / k),
        coverage=float(ball_reached.mean()),
    )


def radius(features: Features, k: int) -> NDArray[np.floating]:
    """[N]: the distance of each point to its k-th nearest neighbour, itself not counted."""
    # Without an argument kneighbors leaves each point out of its own neighbours.
    distances, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features).kneighbors()
    return distances[:, -1]
