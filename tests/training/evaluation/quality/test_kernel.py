import numpy as np
import pytest

from training.evaluation.quality.kernel import kernel_distance


def test_one_distribution_is_at_zero_on_average():
    rng = np.random.default_rng(0)
    distances = [kernel_distance(rng.normal(size=(200, 4)), rng.normal(size=(200, 4))) for _ in range(50)]
    assert np.mean(distances) == pytest.approx(0, abs=3 * np.std(distances) / np.sqrt(50))
    assert min(distances) < 0, "an unbiased estimate falls below 0 half of the time"


def test_two_constants_meet_the_closed_form():
    # k(x, y) = (x.y / F + 1)^3, and k(a,a) + k(b,b) - 2 k(a,b) for two points a = 0, b = (2, 2).
    x, y = np.zeros((30, 2)), np.full((30, 2), 2.0)
    assert kernel_distance(x, y) == pytest.approx(1 + 5**3 - 2)


def test_blocks_agree_with_the_whole():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3000, 4)), rng.normal(0.5, size=(3000, 4))
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(x[:1000], y[:1000]), rel=0.2)
