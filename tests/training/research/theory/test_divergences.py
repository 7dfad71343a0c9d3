import math

import numpy as np
import pytest
from scipy import stats

from training.research.theory.divergences import (
    gaussian,
    jensen_shannon,
    kullback_leibler,
    uniform,
    wasserstein,
)
from training.research.theory.figures import SEEDS, divergences, random_pair, supports_apart

LOG_2 = math.log(2)


@pytest.mark.parametrize("seed", SEEDS)
def test_kl_of_gaussians_is_the_closed_form_and_depends_on_the_direction(seed):
    rng = np.random.default_rng(seed)
    m, n, s, t = *rng.normal(0, 2, 2), *np.exp(rng.normal(0, 0.5, 2))
    there, back = (
        kullback_leibler(gaussian(m, s), gaussian(n, t)),
        kullback_leibler(gaussian(n, t), gaussian(m, s)),
    )
    assert there == pytest.approx(math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 1 / 2, abs=1e-8)
    assert there > 0
    assert abs(there - back) > 1e-3
    assert kullback_leibler(gaussian(m, s), gaussian(m, s)) == pytest.approx(0, abs=1e-12)


def test_kl_is_infinite_where_the_other_density_has_no_mass():
    assert kullback_leibler(uniform(0, 2), uniform(0, 1)) == math.inf
    assert kullback_leibler(uniform(0, 1), uniform(0.5, 0.5)) == math.inf
    assert kullback_leibler(uniform(0, 1), uniform(0, 2)) == pytest.approx(LOG_2)
    assert kullback_leibler(gaussian(0, 1), uniform(-50, 100)) == math.inf


@pytest.mark.parametrize("seed", SEEDS)
def test_jsd_is_symmetric_between_0_and_log_2(seed):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        p, q = random_pair(rng)
        distance = jensen_shannon(p, q)
        assert 0 < distance <= LOG_2 + 1e-8
        assert jensen_shannon(q, p) == pytest.approx(distance, abs=1e-8)
    assert jensen_shannon(p, p) == 0
    assert jensen_shannon(gaussian(0, 1), gaussian(30, 1)) == pytest.approx(LOG_2)


def test_jsd_is_flat_where_supports_are_apart_and_wasserstein_is_not():
    p = uniform(0, 1)
    assert [jensen_shannon(p, uniform(theta, 1)) for theta in (1, 2, 5)] == pytest.approx([LOG_2] * 3)
    assert [wasserstein(p, uniform(theta, 1)) for theta in (1, 2, 5)] == pytest.approx([1, 2, 5])
    assert jensen_shannon(p, uniform(0.3, 1)) == pytest.approx(0.3 * LOG_2)


@pytest.mark.parametrize("seed", SEEDS)
def test_wasserstein_is_what_scipy_finds_between_draws(seed):
    """Also of unequal widths, where the distribution functions cross."""
    rng = np.random.default_rng(seed)
    p, q = uniform(0, 1), uniform(*rng.uniform((-1, 0.5), (1, 2)))
    drawn = stats.wasserstein_distance(p.rvs(10_000, rng), q.rvs(10_000, rng))
    # As in figures.py; a support twice as wide has twice the error.
    assert wasserstein(p, q) == pytest.approx(
        drawn, abs=3 * (math.pi / 8 + math.sqrt(math.log(1000) / 2)) / 100
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_claim_of_the_document_on_divergences_holds(seed):
    assert [row.claim for row in divergences(seed) + supports_apart(seed) if not row.holds] == []
