import numpy as np
import pytest

from training.evaluation.quality.comparison import memorisation
from training.evaluation.quality.nearest import nearest_training


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(count, 1, 8, 8), dtype=np.uint8)


def test_a_copy_is_at_distance_zero():
    training = noise(0, 300)
    assert (nearest_training(training[[7, 250]], training)[1] == 0).all()


def test_distance_is_the_root_mean_square_in_grey_levels():
    training = np.array([0, 200], np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    image = np.full((1, 3, 4, 4), 150, np.uint8)
    assert nearest_training(image, training)[1].tolist() == pytest.approx([50])


def test_one_copy_in_twenty_pulls_the_lowest_percent_to_zero_but_not_the_median():
    training, images = noise(0, 300), noise(1, 100)
    images[::20] = training[:5]
    found = memorisation(images, training)
    unseen = memorisation(noise(2, 100), training)
    assert found["nearest_lowest_percent"].value == 0
    assert unseen["nearest_lowest_percent"].value > 50
    assert abs(found["nearest_median"].value - unseen["nearest_median"].value) < 5


def test_the_nearest_training_image_is_named():
    training = noise(0, 300)
    almost = training[[7, 250]].astype(np.int16) // 2 * 2
    rows, _ = nearest_training(almost.astype(np.uint8), training)
    assert rows.tolist() == [7, 250]
