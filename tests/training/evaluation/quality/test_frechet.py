import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from training.evaluation.quality.frechet import frechet_distance, frechet_error, frechet_infinity


def gaussian(mean, covariance, count: int = 400_000) -> np.ndarray:
    return np.random.default_rng(0).multivariate_normal(mean, covariance, size=count)


def test_two_gaussians_meet_the_closed_form():
    # Both covariances are diagonal: sum of (m - m')^2 + (s - s')^2 over the axes.
    left = gaussian([0.0, 0.0], np.diag([1.0, 4.0]))
    right = gaussian([3.0, -1.0], np.diag([9.0, 1.0]))
    assert frechet_distance(left, right) == pytest.approx((9 + 1) + (4 + 1), rel=0.01)


def test_commuting_is_not_assumed():
    a, b = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.8], [-0.8, 3.0]])
    eigenvalues = np.linalg.eigvals(a @ b)
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(eigenvalues).sum()
    assert frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b)) == pytest.approx(expected, rel=0.02)


def test_a_set_is_at_distance_zero_from_itself_and_distance_is_symmetric():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(1, 2, size=(600, 8)).astype(np.float32)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x))


def test_dead_features_and_fewer_samples_than_features_give_a_finite_distance():
    x = np.zeros((20, 64))
    x[:, :3] = np.random.default_rng(2).normal(size=(20, 3))
    assert frechet_distance(x, x + 1) == pytest.approx(64)


def test_the_error_is_the_spread_that_other_draws_show():
    rng = np.random.default_rng(4)
    real = rng.normal(size=(2000, 6))
    draws = rng.normal(0.5, 1.2, size=(200, 300, 6))
    spread = np.std([frechet_distance(real, fake) for fake in draws])
    errors = [frechet_error(real, fake) for fake in draws[:10]]
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)


def test_the_error_of_draws_with_equal_classes_keeps_the_classes_equal():
    rng, labels = np.random.default_rng(6), np.arange(300) % 2

    def draw():
        return rng.normal(size=(300, 4)) + 8 * labels[:, None]

    real = draw()
    draws = [draw() for _ in range(60)]
    spread = np.std([frechet_distance(real, fake) for fake in draws])
    errors = [
        np.mean([frechet_error(real, fake, classes) for fake in draws[:6]]) for classes in (labels, None)
    ]
    # Near 0 a resample is further off than a draw, having its own noise and that of what it was drawn from.
    assert spread < errors[0] < 3 * spread
    assert errors[1] > 2 * errors[0]


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_distance_of_endlessly_many_images_has_no_bias(shift):
    rng, found, biased = np.random.default_rng(5), [], []
    for _ in range(12):
        real, fake = rng.normal(size=(2, 1000, 32))
        fake[:, 0] += shift
        found.append(frechet_infinity(real, fake))
        biased.append(frechet_distance(real, fake))
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(shift**2, abs=4 * error)
    assert np.mean(biased) > shift**2 + 20 * error


def test_equal_classes_take_no_more_than_the_bias_off():
    rng, labels, found = np.random.default_rng(7), np.repeat(np.arange(10), 100), []
    far_apart = 5 * rng.normal(size=(10, 16))[labels]
    for _ in range(12):
        real, fake = far_apart + rng.normal(size=(2, 1000, 16))
        found.append(frechet_infinity(real, fake, labels, labels))
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(0, abs=4 * error)
    assert error < 0.02


def test_agrees_with_torchmetrics():
    class Identity(nn.Module):
        num_features = 6

        def forward(self, x):
            return x.flatten(1)

    rng = np.random.default_rng(3)
    x, y = (rng.gamma(shape, size=(300, 6, 1, 1)) for shape in (1.0, 2.0))
    other = FrechetInceptionDistance(Identity(), normalize=True, input_img_size=(6, 1, 1)).set_dtype(
        torch.float64
    )
    other.update(torch.from_numpy(x), real=True)
    other.update(torch.from_numpy(y), real=False)
    assert frechet_distance(x[..., 0, 0], y[..., 0, 0]) == pytest.approx(other.compute().item(), rel=1e-6)
