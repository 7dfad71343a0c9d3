import numpy as np
import pytest

from training.evaluation.quality.frechet import frechet_distance, intra_class_frechet_distance


def two_classes(seed: int, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Two normal clouds in the plane, at (0, 0) and (10, 0)."""
    labels = np.arange(count) % 2
    cloud = np.random.default_rng(seed).normal(size=(count, 2))
    cloud[:, 0] += 10 * labels
    return cloud, labels


def test_it_is_the_mean_of_the_classes_squared_shifts():
    real, labels = two_classes(0)
    fake, _ = two_classes(1)
    fake[labels == 1, 1] += 3
    found = intra_class_frechet_distance(real, labels, fake, labels)
    assert found == pytest.approx((0 + 9) / 2, abs=0.1)


def test_swapped_classes_cost_all_here_and_nothing_over_all_classes():
    real, labels = two_classes(0)
    fake, _ = two_classes(1)
    assert frechet_distance(real, fake) < 0.01
    assert intra_class_frechet_distance(real, labels, fake, 1 - labels) == pytest.approx(100, rel=0.01)


def test_a_class_without_two_images_on_both_sides_does_not_count():
    real, labels = two_classes(0)
    fake, _ = two_classes(1)
    fake[labels == 0] += 3
    zeros = np.flatnonzero(labels == 0)
    found = intra_class_frechet_distance(real, labels, fake[zeros], labels[zeros])
    assert found == pytest.approx(18, abs=0.3)
    assert np.isnan(intra_class_frechet_distance(real[:1], labels[:1], fake, labels))
