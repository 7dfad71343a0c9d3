import numpy as np
import pytest
from scipy.stats import norm

from training.evaluation.quality import parzen
from training.evaluation.quality.parzen import SIGMAS, log_densities, parzen_log_likelihood


def grey(values: np.ndarray) -> np.ndarray:
    """uint8 [N, 1, 2, 2] from [N, 4] in [0, 1]."""
    return (values * 255).round().astype(np.uint8).reshape(-1, 1, 2, 2)


def test_one_centre_is_one_normal_density():
    points = np.random.default_rng(0).uniform(size=(20, 4))
    centre = np.full((1, 4), 0.5)
    found = log_densities(centre, points, np.array([0.1, 0.3]))
    for row, sigma in zip(found, (0.1, 0.3), strict=True):
        assert row == pytest.approx(norm.logpdf(points, 0.5, sigma).sum(axis=1))


def test_many_normal_centres_are_a_wider_normal_density():
    centres = np.random.default_rng(0).normal(scale=0.3, size=(200_000, 2))
    points = np.array([[0.0, 0.0], [0.3, -0.2]])
    (found,) = log_densities(centres, points, np.array([0.1]))
    # Two normal variables add their variances.
    assert found == pytest.approx(norm.logpdf(points, 0, np.hypot(0.3, 0.1)).sum(axis=1), abs=0.02)


def test_far_points_in_many_dimensions_stay_finite():
    (found,) = log_densities(np.zeros((3, 784)), np.ones((2, 784)), np.array([0.1]))
    assert found == pytest.approx([-784 / 2 * np.log(2 * np.pi * 0.01) - 784 / 0.02] * 2)


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    centres, points = rng.uniform(size=(50, 4)), rng.uniform(size=(31, 4))
    whole = log_densities(centres, points, SIGMAS)
    monkeypatch.setattr(parzen, "_CHUNK_VALUES", 250)
    assert log_densities(centres, points, SIGMAS) == pytest.approx(whole, rel=1e-12)


def test_sigma_is_the_best_of_the_grid_on_the_validation_images():
    rng = np.random.default_rng(0)
    samples, validation, test = (grey(rng.uniform(size=(count, 4))) for count in (300, 100, 400))
    found = parzen_log_likelihood(samples, validation, test)
    flat = [images.reshape(-1, 4) / 255 for images in (samples, validation, test)]
    scores = log_densities(flat[0], flat[1], SIGMAS).mean(axis=1)
    assert found.sigma == SIGMAS[scores.argmax()]
    assert SIGMAS[0] < found.sigma < SIGMAS[-1]
    (own,) = log_densities(flat[0], flat[2], np.array([found.sigma]))
    assert found.mean == pytest.approx(own.mean())
    assert found.standard_error == pytest.approx(own.std(ddof=1) / 20)


def test_the_standard_error_is_the_spread_of_the_mean_over_test_sets():
    rng = np.random.default_rng(0)
    samples, validation = grey(rng.uniform(size=(300, 4))), grey(rng.uniform(size=(100, 4)))
    found = [parzen_log_likelihood(samples, validation, grey(rng.uniform(size=(200, 4)))) for _ in range(40)]
    spread = np.std([x.mean for x in found], ddof=1)
    # A standard deviation of 40 is itself sure to a tenth.
    assert np.mean([x.standard_error for x in found]) == pytest.approx(spread, rel=0.35)


def test_samples_of_the_same_distribution_are_likelier_than_others():
    rng = np.random.default_rng(0)
    real = [grey(rng.beta(2, 5, size=(count, 4))) for count in (500, 100, 300)]
    wrong = grey(rng.beta(5, 2, size=(500, 4)))
    assert parzen_log_likelihood(*real).mean > parzen_log_likelihood(wrong, *real[1:]).mean + 0.5
