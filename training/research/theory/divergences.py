"""Distances between two densities on the line, by quadrature: what the papers' curves are made of.

A density is a frozen continuous distribution of scipy.stats.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import rel_entr

Points = NDArray[np.float64]

TAIL = 1e-16
QUANTILES = np.array([1e-12, 1e-8, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-4, 1 - 1e-8, 1 - 1e-12])
# So many between two neighbouring quantiles, and so many points in each: 1e-9 for what is smooth,
# 1e-5 where |F - G| has a kink.
PANELS, NODES = 4, 20


class Density(Protocol):
    """What is used of scipy's frozen distributions."""

    def pdf(self, x: Any) -> Any: ...
    def logpdf(self, x: Any) -> Any: ...
    def cdf(self, x: Any) -> Any: ...
    def ppf(self, q: Any) -> Any: ...
    def isf(self, q: Any) -> Any: ...
    def support(self) -> tuple[float, float]: ...
    def rvs(self, size: int, random_state: np.random.Generator) -> Points: ...


def gaussian(mean: float, deviation: float) -> Density:
    return cast(Density, stats.norm(mean, deviation))


def uniform(start: float, width: float) -> Density:
    """On [start, start + width]."""
    return cast(Density, stats.uniform(start, width))


def kullback_leibler(p: Density, q: Density) -> float:
    """KL(p || q) = E_p log(p / q), in nats (Kullback and Leibler 1951, Eq. 2.4).

    Returns >= 0; infinity where p has mass outside the support of q.
    """
    if p.support()[0] < q.support()[0] or p.support()[1] > q.support()[1]:
        return math.inf
    return integral(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), [p])


def jensen_shannon(p: Density, q: Density) -> float:
    """JSD(p || q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2 (Goodfellow et al. 2014, section 4.1).

    Returns 0 (equal) to log 2 (supports apart), in nats.
    """

    def integrand(x: Points) -> Points:
        one, other = p.pdf(x), q.pdf(x)
        middle = (one + other) / 2
        return (rel_entr(one, middle) + rel_entr(other, middle)) / 2

    return integral(integrand, [p, q])


def wasserstein(p: Density, q: Density) -> float:
    """W(p, q), the least mean distance by which mass must move from p to become q.

    Arjovsky et al. 2017 (arXiv 1701.07875), section 2; on the line it is the area between the two
    distribution functions (Vallender 1974). In units of x.
    """
    return integral(lambda x: np.abs(p.cdf(x) - q.cdf(x)), [p, q])


def integral(f: Callable[[Points], Points], densities: list[Density]) -> float:
    """The integral of f over the line, where f is nought wherever all the densities are.

    Gauss-Legendre between the densities' own quantiles, so that a narrow peak far away is not missed.
    """
    marks = np.unique(np.concatenate([quantiles(density) for density in densities]))
    edges = np.concatenate(
        [np.linspace(a, b, PANELS, endpoint=False) for a, b in pairwise(marks)] + [marks[-1:]]
    )
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middles, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    x = middles[:, None] + halves[:, None] * nodes
    return float(halves @ (f(x.ravel()).reshape(x.shape) @ weights))


def quantiles(density: Density) -> Points:
    """Where the mass to the left is 0, QUANTILES and 1; the ends of an infinite support are cut at TAIL."""
    lowest, highest = density.support()
    first = lowest if math.isfinite(lowest) else density.ppf(TAIL)
    last = highest if math.isfinite(highest) else density.isf(TAIL)
    return np.array([first, *density.ppf(QUANTILES), last])
