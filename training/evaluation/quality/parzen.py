"""The log-likelihood of held-out images under a Parzen window around generated ones: the figure of 2014.

Goodfellow et al. 2014 (arXiv 1406.2661), section 5 and Table 1, after Breuleux et al. 2011: a Gaussian of
width sigma around each of 10,000 samples, sigma chosen on validation images, mean and standard error over
test images, pixels in [0, 1]. It is here because the first systems were judged by it. It says little of
what images look like: in so many dimensions no number of samples is enough, one sigma serves sharp and
blurred directions alike, and centres found by k-means outdo real images (Theis et al. 2016,
arXiv 1511.01844, whose advice is to avoid it).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics.pairwise import euclidean_distances

from training.data.dataset import Pixels

# The grid of the authors' parzen_ll.py.
SIGMAS = np.logspace(-1, 0, 10)
_CHUNK_VALUES = 10_000_000


class LogLikelihood(NamedTuple):
    """Over test images, in nats an image, in pixels of [0, 1]. sigma: the window's width, by validation."""

    mean: float
    standard_error: float
    sigma: float


def parzen_log_likelihood(samples: Pixels, validation: Pixels, test: Pixels) -> LogLikelihood:
    """samples, validation, test: uint8 [N, C, H, W], the last two apart from each other and from the training images."""
    parts = (samples, validation, test)
    centres, chosen_on, measured_on = (images.reshape(len(images), -1) / 255.0 for images in parts)
    of_sigma = [float(densities.mean()) for densities in log_densities(centres, chosen_on, SIGMAS)]
    sigma = float(SIGMAS[int(np.argmax(of_sigma))])
    (found,) = log_densities(centres, measured_on, np.array([sigma]))
    error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan
    return LogLikelihood(float(found.mean()), float(error), sigma)


def log_densities(
    centres: NDArray[np.float64], points: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log of the mean normal density around centres [N, D] at points [M, D], for each sigma: [len(sigmas), M]."""
    count, dimensions = centres.shape
    found = np.empty((len(sigmas), len(points)))
    rows = max(1, _CHUNK_VALUES // count)
    for start in range(0, len(points), rows):
        # float64: a float32 distance is off by half a nat at sigma 0.1.
        squared = euclidean_distances(points[start : start + rows], centres, squared=True)
        for i, sigma in enumerate(sigmas):
            normal = np.log(count) + dimensions / 2 * np.log(2 * np.pi * sigma**2)
            found[i, start : start + rows] = logsumexp(squared / (-2 * sigma**2), axis=1) - normal
    return found
