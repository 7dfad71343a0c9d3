import numpy as np
import pytest

from training.evaluation.quality.coverage import Coverage, coverage


def normal(seed: int, count: int = 2000, dimensions: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def test_one_distribution_reaches_almost_all():
    found = coverage(normal(0), normal(1))
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)  # Naeem et al. 2020, section 3.3
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.precision > 0.95
    assert found.recall > 0.95


def test_far_sets_do_not_touch():
    assert coverage(normal(0), normal(1) + 100) == Coverage(0, 0, 0, 0)


def test_a_collapsed_generator_is_precise_and_covers_nothing():
    real = normal(0)
    collapsed = real[:1] + 1e-3 * normal(1)
    found = coverage(real, collapsed)
    assert found.precision == 1
    assert found.recall < 0.01
    assert found.coverage < 0.01


def test_half_the_modes_halve_recall_and_coverage():
    real = normal(0)
    real[::2] += 50
    fake = normal(1)
    found = coverage(real, fake)
    assert found.precision > 0.95
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_hand_counted_points_on_a_line():
    # Balls to the nearest neighbour, radius 1 around each real point and 3 around each fake one.
    real, fake = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([[0.5], [3.5]])
    found = coverage(real, fake, k=1)
    assert found.precision == 1 / 2  # 0.5 lies in two balls, 3.5 in none
    assert found.recall == 2 / 4  # 0 and 1 lie within 3 of a fake point
    assert found.density == 2 / 2
    assert found.coverage == 2 / 4
