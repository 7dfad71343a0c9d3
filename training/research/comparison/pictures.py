"""A comparison as pictures: a row per system, a column per class."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.data.dataset import Dataset
from training.evaluation.generated import Source
from training.evaluation.quality.nearest import nearest_training

# Of an unconditional system, and the most classes shown.
COLUMNS = 10
# Smaller images are enlarged by a whole factor up to about this side.
SHOWN_PIXELS = 56
LEFT, TOP, GAP, FONT_SIZE = 150, 16, 6, 10

# A title, and images, uint8 [N, C, H, W].
Row = tuple[str, NDArray[np.uint8]]


def samples(source: Source) -> NDArray[np.uint8]:
    """One image per class, seed i of class i; ten seeds of an unconditional system. uint8 [N, C, H, W]."""
    count = min(len(source.classes), COLUMNS) if source.classes else COLUMNS
    label = np.arange(count) if source.classes else None
    return source.forward(source.drawn(range(count)), label)


def real_samples(dataset: Dataset) -> NDArray[np.uint8]:
    """The first held-out image of each class that has one."""
    classes = range(min(len(dataset.class_names), COLUMNS))
    first = [np.flatnonzero(dataset.test_labels == label)[:1] for label in classes]
    return dataset.test_images[np.concatenate(first)]


def with_nearest(rows: Sequence[Row], dataset: Dataset) -> list[Row]:
    """Under each row the training images most like its images, by distance in pixels.

    Figure 2 of Goodfellow et al. 2014 shows them beside the samples, against the suspicion of copying.
    """
    found = []
    for title, images in rows:
        nearest, _ = nearest_training(images, dataset.images)
        found += [(title, images), ("nearest in training", dataset.images[nearest])]
    return found


def picture(rows: Sequence[Row], class_names: Sequence[str], together: int = 1) -> bytes:
    """A PNG: the rows under each other, titled, a gap after every `together` of them."""
    _, channels, height, width = rows[0][1].shape
    factor = max(1, SHOWN_PIXELS // height)
    cell_height, cell_width = height * factor, width * factor
    columns = max(len(images) for _, images in rows)
    size = (
        LEFT + columns * cell_width,
        TOP + len(rows) * cell_height + (len(rows) - 1) // together * GAP,
    )
    sheet = Image.new("L" if channels == 1 else "RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for column, name in enumerate(class_names[:columns]):
        pen.text((LEFT + column * cell_width + 2, 2), shortened(name, cell_width - 4, font), "black", font)
    for index, (title, images) in enumerate(rows):
        top = TOP + index * cell_height + index // together * GAP
        pen.text((4, top + cell_height // 2 - FONT_SIZE // 2), title, "black", font)
        for column, image in enumerate(images.repeat(factor, axis=2).repeat(factor, axis=3)):
            pixels = image[0] if channels == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
            sheet.paste(Image.fromarray(pixels), (LEFT + column * cell_width, top))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def shortened(name: str, pixels: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the name as fits."""
    while name and font.getlength(name) > pixels:
        name = name[:-1]
    return name
