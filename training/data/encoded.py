"""Encoded pictures -> a data set: one in memory at a time, and those that are done, once."""

import sys
import warnings
from collections import Counter

import numpy as np
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from service.generator.file.reading import is_pointer
from training.data.dataset import A_SIXTH, Dataset, held_out, misfit
from training.data.picture import Reader, Unfit
from training.data.request import Listing, Request
from training.errors import UserError


def collect(listing: Listing, asked: Request) -> Dataset:
    """Decode all pictures. Damaged ones are left out and named. Raises UserError where sizes differ."""
    rows = listing.rows
    is_test = np.array([row.is_test for row in rows], bool)
    split = Dataset.split
    if not is_test.any():
        is_test, split = held_out(np.array([row.label for row in rows], np.int64)), A_SIXTH
    # Those to train on stand before those held out, each in its order: grey until the first in colour comes.
    images, labels = np.empty((0, 1, 0, 0), np.uint8), np.empty(len(rows), np.int64)
    first_test = len(rows) - int(is_test.sum())
    ends = [0, first_test]
    sizes: Counter[tuple[int, ...]] = Counter()
    example: dict[tuple[int, ...], str] = {}
    reader = Reader(asked.size, asked.notes, listing.contents())
    console, hidden = Console(stderr=True), not sys.stderr.isatty()
    contents = listing.contents()
    shown = track(contents, "Reading pictures", len(rows), console=console, transient=True, disable=hidden)
    with warnings.catch_warnings():
        # Of Pillow's, on oddities that it copes with, and on pictures of more than 90 megapixels.
        warnings.simplefilter("ignore")
        for row, is_held, content in zip(rows, is_test.tolist(), shown, strict=True):
            try:
                pixels = reader.read(row.name, content)
            except Unfit as error:
                asked.notes.left_out(f"{error}", row.name)
                continue
            except Exception as error:  # Pillow raises anything on damaged files
                asked.notes.left_out("can't be read as pictures", row.name + why(error, content))
                continue
            shape = pixels.shape[1:]
            sizes[shape] += 1
            example.setdefault(shape, row.name)
            if misfit(*shape) or shape != next(iter(sizes)):
                continue
            if not images.size:
                # Takes no memory before it is written to.
                images = np.empty((len(rows), *pixels.shape), np.uint8)
            if len(pixels) > len(images[0]):
                images = images.repeat(len(pixels), axis=1)
            images[ends[is_held]], labels[ends[is_held]] = pixels, row.label
            ends[is_held] += 1
    if len(sizes) > 1:
        rarest = example[sizes.most_common()[-1][0]]
        raise UserError(
            f"{asked.path} mixes {len(sizes)} sizes ({rarest} differs from most): use `prepare --size N` to crop and scale them all"
        )
    for shape in sizes:
        if reason := misfit(*shape):
            raise UserError(f"{asked.path} {reason}")
    train, test = slice(0, ends[0]), slice(first_test, ends[1])
    return Dataset(
        asked.name, listing.class_names, images[train], labels[train], images[test], labels[test], split
    )


def why(error: Exception, content: bytes) -> str:
    if not content:
        return ": empty, or not to be opened"
    if is_pointer(content):
        return ": a pointer of Git LFS, of which `git lfs pull` gets the picture"
    if isinstance(error, Image.DecompressionBombError):
        return f": more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels, shrink it first"
    # Of a file that is no picture Pillow says nothing but where it lay in memory.
    return "" if isinstance(error, UnidentifiedImageError) else f": {str(error) or type(error).__name__}"
