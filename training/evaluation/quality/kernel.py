"""The kernel distance between two sets of features."""

import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

from training.evaluation.quality.frechet import Features

BLOCK = 1000


def kernel_distance(real: Features, fake: Features) -> float:
    """Squared maximum mean discrepancy, the KID when the features are Inception's.

    Binkowski et al. 2018 (arXiv 1801.01401), section 4: the unbiased estimate under the kernel
    (x.y / F + 1)^3, here the mean over disjoint blocks of 1,000 (fewer: one block of all).

    real, fake: [N, F] and [M, F], N and M >= 2, in random order. Returns an unbiased estimate: around
    0, also below it, when the two are of one distribution.
    """
    size = min(BLOCK, len(real), len(fake))
    starts = range(0, min(len(real), len(fake)) - size + 1, size)
    return float(np.mean([_unbiased(real[i : i + size], fake[i : i + size]) for i in starts]))


def _unbiased(x: Features, y: Features) -> float:
    """Gretton et al. 2012, Eq. 4; x, y: [n, F]."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, own = len(x), polynomial_kernel(x) + polynomial_kernel(y)
    return float((own.sum() - np.trace(own)) / (n * (n - 1)) - 2 * polynomial_kernel(x, y).mean())
