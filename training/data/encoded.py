"""Encoded pictures -> a data set: one in memory at a time, and those that are done, once."""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from service.generator.file.reading import is_pointer
from training.data.dataset import A_SIXTH, UNLABELLED, Dataset, held_out, misfit
from training.data.labels import chosen, numbered
from training.data.notes import Notes
from training.data.picture import Reader, Unfit
from training.data.request import Place, Request
from training.errors import UserError


def of_use(places: list[Place], labelled: bool, notes: Notes) -> list[Place]:
    """Those in splits that are used and, where the set is labelled, of a class."""
    splits = {place.split for place in places}
    _, unused = chosen(splits)
    kept = []
    for place in places:
        if unused and place.split == unused:
            notes.left_out(f"of {unused}, since test is held out", place.name)
        elif not place.split and "train" in splits:
            # It may be held out by a name that is not known.
            notes.left_out("beside those called train, and not called so", place.name)
        elif labelled and place.label is None:
            notes.left_out("of no class", place.name)
        else:
            kept.append(place)
    return kept


def collect(
    places: list[Place],
    contents: Callable[[], Iterator[bytes]],
    asked: Request,
    where: object,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Decode all pictures, whose damaged ones are left out and named. Raises UserError where sizes differ.

    places: `of_use`. contents: their files, in this order, as often as asked. class_names: by label; those of `numbered` if None.
    """
    test, _ = chosen(place.split for place in places)
    is_test, split = np.array([bool(test) and place.split == test for place in places], bool), Dataset.split
    names, classes = UNLABELLED, np.zeros(len(places), np.int64)
    if given := [place.label for place in places if place.label is not None]:
        if len({isinstance(label, str) for label in given}) > 1:
            raise UserError(f"{where}: some labels are numbers, and some names: write one kind")
        names, classes = numbered(given, where)  # pyright: ignore[reportArgumentType]
    if not is_test.any():
        is_test, split = held_out(classes), A_SIXTH
    # Those to train on stand before those held out, each in its order: grey until the first in colour comes.
    images, labels = np.empty((0, 1, 0, 0), np.uint8), np.empty(len(places), np.int64)
    first_test = len(places) - int(is_test.sum())
    ends = [0, first_test]
    source = np.empty(len(places), np.int64)
    sizes: Counter[tuple[int, ...]] = Counter()
    example: dict[tuple[int, ...], str] = {}
    reader = Reader(asked.size, asked.notes, contents())
    console, hidden = Console(stderr=True), not sys.stderr.isatty()
    shown = track(
        contents(), "Reading pictures", len(places), console=console, transient=True, disable=hidden
    )
    with warnings.catch_warnings():
        # Of Pillow's, on oddities that it copes with, and on pictures of more than 90 megapixels.
        warnings.simplefilter("ignore")
        rows = zip(places, classes, is_test.tolist(), shown, strict=True)
        for place, ((name, *_), label, is_held, content) in enumerate(rows):
            try:
                pixels = reader.read(name, content)
            except Unfit as error:
                asked.notes.left_out(f"{error}", name)
                continue
            except Exception as error:  # Pillow raises anything on damaged files
                asked.notes.left_out("can't be read as pictures", name + why(error, content))
                continue
            shape = pixels.shape[1:]
            sizes[shape] += 1
            example.setdefault(shape, name)
            if misfit(*shape) or shape != next(iter(sizes)):
                continue
            if not images.size:
                # Takes no memory before it is written to.
                images = np.empty((len(places), *pixels.shape), np.uint8)
            if len(pixels) > len(images[0]):
                images = images.repeat(len(pixels), axis=1)
            end = ends[is_held]
            images[end], labels[end], source[end] = pixels, label, place
            ends[is_held] += 1
    if len(sizes) > 1:
        rarest = example[sizes.most_common()[-1][0]]
        raise UserError(
            f"{asked.path} mixes {len(sizes)} sizes ({rarest} differs from most): use `prepare --size N` to crop and scale them all"
        )
    for shape in sizes:
        if reason := misfit(*shape):
            raise UserError(f"{asked.path} {reason}")
    train, test = slice(ends[0]), slice(first_test, ends[1])
    if split == A_SIXTH and sum(ends) < first_test + len(places):
        # Drawn again of those that could be read: a class of two, of which one is damaged, has one to train on.
        read = np.r_[train, test]
        read = read[np.argsort(source[read])]
        is_test = held_out(labels[read])
        train, test = read[~is_test], read[is_test]
    split_arrays = images[train], labels[train], images[test], labels[test]
    return Dataset(asked.name, class_names or names, *split_arrays, split)


def why(error: Exception, content: bytes) -> str:
    if not content:
        return ": empty, or not to be opened"
    if is_pointer(content):
        return ": a pointer of Git LFS, of which `git lfs pull` gets the picture"
    if isinstance(error, Image.DecompressionBombError):
        return f": more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels, shrink it first"
    # Of a file that is no picture Pillow says nothing but where it lay in memory.
    return "" if isinstance(error, UnidentifiedImageError) else f": {str(error) or type(error).__name__}"
