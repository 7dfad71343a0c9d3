"""A tiny data set that a classifier can tell apart: a bright square, whose place is the class."""

import numpy as np

from training.data.dataset import Dataset

CLASS_NAMES = ("top left", "top right", "bottom left")


def squares(train: int = 300, test: int = 120, side: int = 28) -> Dataset:
    """Noise up to 60, and a square of 150 to 250 in the corner of the class."""
    images, labels = draw(train, side, seed=0)
    test_images, test_labels = draw(test, side, seed=1)
    return Dataset("squares", CLASS_NAMES, images, labels, test_images, test_labels)


def draw(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, size=(count, 1, side, side), dtype=np.uint8)
    labels = np.arange(count) % 3
    for image, label, size, grey in zip(
        images, labels, rng.integers(6, 12, count), rng.integers(150, 250, count), strict=True
    ):
        top, left = side // 2 * (label // 2), side // 2 * (label % 2)
        image[:, top + 1 : top + 1 + size, left + 1 : left + 1 + size] = grey
    return images, labels
