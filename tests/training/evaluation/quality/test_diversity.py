import numpy as np
import pytest

from service.generator.quality.statistics import in_class_distances
from training.evaluation.quality.diversity import EXPONENTS, in_class_similarity


def flat(*levels: int, side: int = 28) -> np.ndarray:
    """One even image per level."""
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 1, side, side), np.uint8)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(count, 1, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("side", [28, 32, 64])
def test_even_images_have_the_similarity_of_the_formula(side):
    # Contrast and structure are 1; the luminance term (Wang et al. 2003, Eq. 1) counts at the last scale alone.
    a, b, c1 = 80.0, 160.0, (0.01 * 255) ** 2
    luminance = (2 * a * b + c1) / (a * a + b * b + c1)
    expected = luminance ** (EXPONENTS[-1] / sum(EXPONENTS))
    found = in_class_similarity(flat(80, 160, side=side), np.zeros(2, int))
    # Variances are differences of squares here, in float32.
    assert found == pytest.approx(expected, abs=5e-4)


def test_a_class_of_one_image_is_like_itself_and_noise_is_not():
    images = np.concatenate([noise(1).repeat(50, axis=0), noise(50, seed=1)])
    labels = np.arange(100) // 50
    assert in_class_similarity(images[:50], labels[:50]) == pytest.approx(1, abs=5e-4)
    assert in_class_similarity(images[50:], labels[50:]) < 0.1
    assert in_class_similarity(images, labels) == pytest.approx(0.5, abs=0.05)


def test_only_images_of_one_class_are_compared():
    images, labels = flat(0, 255, 0, 255, 0, 255), np.array([0, 1, 0, 1, 0, 1])
    assert in_class_similarity(images, labels) == pytest.approx(1, abs=5e-4)
    assert in_class_distances(images.reshape(6, -1).astype(np.float32), labels) == {0: 0, 1: 0}


def test_distance_is_the_mean_over_pairs_of_each_class():
    features = np.array([[0, 0], [3, 4], [0, 0], [1, 0], [0, 1]], np.float32)
    labels = np.array([0, 0, 1, 1, 1])
    assert in_class_distances(features, labels) == pytest.approx({0: 5, 1: (1 + 1 + np.sqrt(2)) / 3})


def test_distance_of_a_normal_cloud_is_that_of_theory():
    cloud = np.random.default_rng(0).normal(size=(2000, 1))
    # The mean distance of two normal numbers is 2 / sqrt(pi).
    found = in_class_distances(cloud, np.zeros(2000, int), most=2000)
    assert found[0] == pytest.approx(2 / np.sqrt(np.pi), rel=0.03)


def test_a_class_needs_two_images():
    assert np.isnan(in_class_similarity(noise(3), np.arange(3)))
    assert in_class_distances(np.zeros((3, 2)), np.arange(3)) == {}
