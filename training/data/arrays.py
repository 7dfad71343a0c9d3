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
    labels: integers from 0, or names. class_names: by label; if None their numbers, or the names by the alphabet.
    """
    parts = [train] if test is None else [train, test]
    images = in_bytes([channels_first(part[0], asked) for part in parts], asked.notes, asked.path.name)
    if asked.size is not None:
        images = [resized(part, asked.size, asked.notes) for part in images]
    given = [labels for _, labels in parts if labels is not None]
    if not given:
        if class_names:
            raise UserError(f"{asked.path} has names of classes and no labels: which image is of which?")
        class_names, labels = UNLABELLED, [np.zeros(len(part), np.int64) for part in images]
    elif len(given) < len(parts):
        raise UserError(f"{asked.path}: one of the two splits has labels, and the other has none")
    else:
        for part, column in zip(images, given, strict=True):
            if len(part) != len(column):
                raise UserError(f"{asked.path}: {len(part):,} images but {len(column):,} labels")
        joined = [label for column in given for label in column]
        class_names, joined = numbered(joined, asked.path, class_names)
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
            rows = images.reshape(len(images), channels, side, side)
            what = f"flat rows, read as {side}x{side}"
            if channels == 3:
                turned = images.reshape(len(images), side, side, channels).transpose(0, 3, 1, 2)
                # Of CIFAR's kind 2.1 times as rough, and 0.4 where the other order is right; of its noise, alike.
                if roughness(turned) < 0.95 * roughness(rows):
                    raise UserError(
                        f"{asked.path}: flat rows of images [H, W, 3] by their looks: reshape them to [N, H, W, 3]"
                    )
                what += ", one plane of a colour after another"
            asked.notes.noted(what, asked.path.name, len(images))
            return rows
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in (1, 3, 4):
        return images
    if images.ndim == 4 and images.shape[3] in (1, 3, 4):
        return images.transpose(0, 3, 1, 2)
    raise UserError(
        f"{asked.path}: images have shape {images.shape}; wanted are [N, C, H, W], [N, H, W, C] or [N, H, W]"
    )


def roughness(images: NDArray) -> float:
    """How far pixels are from those to their right and below, summed over some images. images: [N, C, H, W]."""
    some = images[:256].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(float(np.abs(np.diff(some, axis=axis)).sum()) for axis in (2, 3))


def in_bytes(parts: list[NDArray], notes: Notes, where: str) -> list[Pixels]:
    """uint8 [N, 1 or 3, H, W], scaled by the range that all parts have together.

    Raises UserError for NaN, and where a part fills so little of the range that it has another one.
    """
    count = sum(map(len, parts))
    if any(part.dtype != np.uint8 for part in parts):
        ends = [(float(part.min()), float(part.max())) for part in parts if part.size] or [(0.0, 1.0)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        black, white = span(low, high, whole=all(part.dtype.kind in "iu" for part in parts))
        if not np.isfinite(ends).all() or not 0 < 255 / (white - black) < math.inf:
            raise UserError(f"{where}: images hold NaN or infinity, or numbers from {low:g} to {high:g}")
        kind = " and ".join(sorted({str(part.dtype) for part in parts}))
        kind += f", of which {black:,.10g} is black and {white:,.10g} white"
        quarter = black + (white - black) / 4
        for least, most in ends:
            if low < high and (most < quarter or (black < 0 and least > quarter)):
                raise UserError(
                    f"{where}: images are {kind}, but one split's pixels are from {least:g} to {most:g}: store both alike"
                )
        notes.noted(kind, where, count)
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
