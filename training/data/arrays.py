"""Images that lie decoded in arrays, of any shape and number type -> a data set."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.dataset import A_SIXTH, UNLABELLED, Dataset, Pixels, held_out
from training.data.labels import Column, numbered
from training.data.levels import on_white, span, to_bytes
from training.data.notes import Notes
from training.data.picture import fitted
from training.data.request import Request
from training.errors import UserError


def dataset_of(
    asked: Request,
    train: tuple[NDArray, Column | None],
    test: tuple[NDArray, Column | None] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Images and labels of one split or two; without labels all are of one class. Raises UserError.

    images: [N, H, W], [N, H, W, C], [N, C, H, W] with 1, 3 or 4 channels, or [N, H * W] and [N, 3 * H * W] of squares.
    labels: integers from 0, or names. class_names: by label; their numbers if None.
    """
    parts = [train] if test is None else [train, test]
    images = in_bytes([channels_first(part[0], asked) for part in parts], asked.notes, asked.path.name)
    if asked.size is not None:
        images = [resized(part, asked.size, asked.notes) for part in images]
    given = [labels for _, labels in parts if labels is not None]
    if not given:
        class_names, labels = UNLABELLED, [np.zeros(len(part), np.int64) for part in images]
    elif len(given) < len(parts):
        raise UserError(f"{asked.path}: one of the two splits has labels, and the other has none")
    else:
        for part, column in zip(images, given, strict=True):
            if len(part) != len(column):
                raise UserError(f"{asked.path}: {len(part):,} images but {len(column):,} labels")
        names, joined = numbered([label for column in given for label in column], asked.path)
        class_names = class_names or names
        labels = np.split(joined, [len(given[0])])[: len(parts)]
    if test is not None:
        return Dataset(asked.name, class_names, images[0], labels[0], images[1], labels[1])
    is_test = held_out(labels[0])
    kept, held = (images[0][mask] for mask in (~is_test, is_test))
    return Dataset(asked.name, class_names, kept, labels[0][~is_test], held, labels[0][is_test], A_SIXTH)


def channels_first(images: NDArray, asked: Request) -> NDArray:
    """[N, C, H, W], of the numbers that they are of. Raises UserError."""
    if images.dtype.kind not in "biuf":
        raise UserError(f"{asked.path}: images are {images.dtype}; they must be numbers")
    for channels in (1, 3) if images.ndim == 2 else ():
        if (side := math.isqrt(images.shape[1] // channels)) ** 2 * channels == images.shape[1]:
            return images.reshape(-1, channels, side, side)
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in (1, 3, 4):
        return images
    if images.ndim == 4 and images.shape[3] in (1, 3, 4):
        return images.transpose(0, 3, 1, 2)
    raise UserError(
        f"{asked.path}: images have shape {images.shape}; wanted are [N, C, H, W], [N, H, W, C] or [N, H, W]"
    )


def in_bytes(parts: list[NDArray], notes: Notes, where: str) -> list[Pixels]:
    """uint8 [N, 1 or 3, H, W], scaled by the range that all parts have together. Raises UserError for NaN."""
    count = sum(map(len, parts))
    if any(part.dtype != np.uint8 for part in parts):
        ends = [float(end) for part in parts if part.size for end in (part.min(), part.max())] or [0.0, 1.0]
        low, high = min(ends), max(ends)
        if not all(map(math.isfinite, ends)):
            raise UserError(f"{where}: images hold NaN or infinity")
        black, white = span(low, high, whole=all(part.dtype.kind in "iu" for part in parts))
        kind = " and ".join(sorted({str(part.dtype) for part in parts}))
        notes.noted(f"{kind}, of which {black:,.10g} is black and {white:,.10g} white", where, count)
        parts = [to_bytes(part, black, white) for part in parts]
    if all(part.shape[1] == 4 for part in parts):
        if not everywhere(parts, lambda piece: piece[:, 3] == 255):
            notes.noted("with transparency, laid on white", where, count)
        parts = [on_white(part[:, :3], part[:, 3:]) for part in parts]
    if all(part.shape[1] == 3 for part in parts) and everywhere(parts, lambda piece: piece == piece[:, :1]):
        notes.noted("grey, though stored as colour", where, count)
        parts = [part[:, :1] for part in parts]
    return parts


def everywhere(parts: list[NDArray], holds: Callable[[NDArray], NDArray]) -> bool:
    """Of some images at a time: as many booleans as pixels would be as large as the images."""
    return all(holds(part[i : i + 256]).all() for part in parts for i in range(0, len(part), 256))


def resized(images: Pixels, size: int, notes: Notes) -> Pixels:
    """uint8 [N, C, size, size]."""
    if images.shape[2:] == (size, size):
        return images
    out = np.empty((*images.shape[:2], size, size), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(
            image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        )
        out[i] = np.atleast_3d(np.asarray(fitted(picture, size, f"image {i}", notes))).transpose(2, 0, 1)
    return out
