"""Encoded pictures -> a data set: one in memory at a time, and those that are done, once."""

import sys
import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from training.data.dataset import A_SIXTH, SIZES, Dataset, held_out
from training.data.picture import Reader
from training.data.request import Listing, Request
from training.errors import UserError


class Stack:
    """Pictures of one size and their labels, where all find room: grey until the first in colour comes."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self._images: NDArray[np.uint8] = np.empty((0, 1, 0, 0), np.uint8)
        self._labels = np.empty(most, np.int64)

    def add(self, pixels: NDArray[np.uint8], label: int) -> None:
        if self.count == 0:
            # Takes no memory before it is written to.
            self._images = np.empty((self.most, *pixels.shape), np.uint8)
        self.widen(len(pixels))
        self._images[self.count], self._labels[self.count] = pixels, label
        self.count += 1

    def widen(self, channels: int) -> None:
        if channels > self._images.shape[1]:
            grey = self.images
            self._images = np.empty((self.most, channels, *grey.shape[2:]), np.uint8)
            self._images[: self.count] = grey

    @property
    def images(self) -> NDArray[np.uint8]:
        return self._images[: self.count]

    @property
    def labels(self) -> NDArray[np.int64]:
        return self._labels[: self.count]


def collect(listing: Listing, asked: Request) -> Dataset:
    """Decode all pictures. Damaged ones are left out and named. Raises UserError where sizes differ."""
    rows = listing.rows
    is_test = np.array([row.is_test for row in rows], bool)
    split = Dataset.split
    if not is_test.any():
        is_test, split = held_out(np.array([row.label for row in rows], np.int64)), A_SIXTH
    stacks = {is_held: Stack(int((is_test == is_held).sum())) for is_held in (False, True)}
    sizes: Counter[tuple[int, ...]] = Counter()
    example: dict[tuple[int, ...], str] = {}
    reader = Reader(asked.size, asked.notes, listing.contents())
    bar: dict[str, Any] = {
        "console": Console(stderr=True),
        "transient": True,
        "disable": not sys.stderr.isatty(),
    }
    contents = track(listing.contents(), "Reading pictures", len(rows), **bar)
    with warnings.catch_warnings():
        # Of Pillow's, on oddities that it copes with, and on pictures of more than 90 megapixels.
        warnings.simplefilter("ignore")
        for row, is_held, content in zip(rows, is_test, contents, strict=True):
            try:
                pixels = reader.read(row.name, content)
            except Exception as error:  # Pillow raises anything on damaged files
                asked.notes.left_out("can't be read as pictures", row.name + why(error, content))
                continue
            shape = pixels.shape[1:]
            sizes[shape] += 1
            example.setdefault(shape, row.name)
            if trainable(shape) and shape == next(iter(sizes)):
                stacks[bool(is_held)].add(pixels, row.label)
    if len(sizes) > 1 or not all(map(trainable, sizes)):
        raise UserError(f"{asked.path} {unfit(sizes, example)}")
    train, test = stacks[False], stacks[True]
    # One picture in colour makes it a data set in colour.
    for stack in (train, test):
        stack.widen(max(train.images.shape[1], test.images.shape[1]))
    arrays = train.images, train.labels, test.images if test.count else train.images[:0], test.labels
    return Dataset(asked.name, listing.class_names, *arrays, split)


def why(error: Exception, content: bytes) -> str:
    if not content:
        return ": empty, or not to be opened"
    # Of a file that is no picture Pillow says nothing but where it lay in memory.
    return "" if isinstance(error, UnidentifiedImageError) else f": {error or type(error).__name__}"


def trainable(shape: tuple[int, ...]) -> bool:
    return shape[0] == shape[1] in SIZES


def unfit(sizes: Counter[tuple[int, ...]], example: dict[tuple[int, ...], str]) -> str:
    """Why pictures of these sizes, [H, W], can't be trained on together."""
    (most, _), *others = sizes.most_common()
    remedy = "use `prepare --size N` to crop and scale them all"
    if others:
        return f"mixes {len(sizes)} sizes ({example[others[-1][0]]} differs from most): {remedy}"
    wanted = ", ".join(f"{side}x{side}" for side in SIZES)
    return f"holds images of {most[1]}x{most[0]}; the networks make {wanted}: {remedy}"
