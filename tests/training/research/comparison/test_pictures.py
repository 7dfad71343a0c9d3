import io
from functools import partial

import numpy as np
from PIL import Image

from service.generator.contract import ImageShape
from service.generator.latents import latents
from tests.training.pictures import CLASS_NAMES, squares
from training.evaluation.generated import Source
from training.research.comparison.pictures import (
    LEFT,
    SHOWN_PIXELS,
    TOP,
    picture,
    real_samples,
    samples,
    with_nearest,
)


def source(classes: tuple[str, ...] | None) -> Source:
    """A generator whose image is as grey as its label says."""

    def forward(z, label):
        grey = np.zeros(len(z), int) if label is None else label
        return np.broadcast_to((50 * grey).astype(np.uint8)[:, None, None, None], (len(z), 1, 28, 28))

    return Source(forward, 4, classes, ImageShape(1, 28, 28), {}, 8, partial(latents, z_dim=4))


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def test_a_column_is_a_class_and_a_system_without_classes_shows_ten_images():
    assert samples(source(CLASS_NAMES))[:, 0, 0, 0].tolist() == [0, 50, 100]
    assert len(samples(source(None))) == 10


def test_real_samples_are_one_of_each_class():
    dataset = squares()
    found = real_samples(dataset)
    labels = [dataset.test_labels[(dataset.test_images == image).all(axis=(1, 2, 3))][0] for image in found]
    assert labels == [0, 1, 2]


def test_under_each_row_stand_the_training_images_most_like_it():
    dataset = squares()
    copies = dataset.images[[5, 17]] // 2 * 2
    (title, images), (below, nearest) = with_nearest([("copier", copies)], dataset)
    assert (title, below) == ("copier", "nearest in training")
    assert (images == copies).all()
    assert (nearest == dataset.images[[5, 17]]).all()


def test_images_stand_enlarged_in_their_row_and_column():
    rows = [("first", samples(source(CLASS_NAMES))), ("second", samples(source(CLASS_NAMES))[:2])]
    found = pixels(picture(rows, CLASS_NAMES, together=2))
    assert found.shape == (TOP + 2 * SHOWN_PIXELS, LEFT + 3 * SHOWN_PIXELS)
    middle = LEFT + SHOWN_PIXELS + SHOWN_PIXELS // 2
    assert (found[[TOP + 10, TOP + SHOWN_PIXELS + 10], middle] == 50).all()
    assert found[TOP + SHOWN_PIXELS + 10, middle + SHOWN_PIXELS] == 255, "the shorter row ends in white"
    assert found[:, :LEFT].min() < 128, "the titles are there"


def test_colour_stays_colour():
    red = np.zeros((1, 3, 32, 32), np.uint8)
    red[:, 0] = 255
    assert (pixels(picture([("red", red)], ["only"]))[TOP + 5, LEFT + 5] == (255, 0, 0)).all()
