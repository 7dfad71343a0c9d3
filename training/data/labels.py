"""Labels as people write them -> int64 [N] and the names of classes."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Indices
from training.errors import UserError

Column = Indices | Sequence[str]
TRAIN = {"train", "training"}
TEST = {"test", "testing"}
NUMBER = re.compile(r"-?\d{1,18}")
"""That an int64 holds."""
VALIDATION = {"val", "valid", "validation", "dev", "eval"}
_BESIDE_SPLITS = {"set", "data", "dataset", "split", "images", "image", "imgs", "img", "pictures"}
_GLUED = re.compile("(set|data|images?|imgs?)$")


def split_of(name: str) -> str:
    """train, test, val, or nothing: `data/test-00000-of-00001.parquet` -> test."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    return "test" if words & TEST else "val" if words & VALIDATION else "train" if words & TRAIN else ""


def split_of_folder(name: str) -> str:
    """The same of a folder's whole name: `training_set`, `trainset` -> train, `test tube` -> nothing."""
    words = {_GLUED.sub("", word) or word for word in re.findall(r"[a-z]+", name.lower())}
    return split_of(" ".join(words)) if words <= TRAIN | TEST | VALIDATION | _BESIDE_SPLITS else ""


def chosen(splits: Iterable[str]) -> tuple[str, str]:
    """Which of these splits is held out, and which is left out: both may be empty.

    With neither test nor validation pictures a sixth is held out later; with both, those of test are.
    """
    there = set(splits)
    validation = "val" if "val" in there else ""
    return ("test", validation) if "test" in there else (validation, "")


def in_order(names: Iterable[str]) -> list[str]:
    """Each once, by the alphabet; where all are numbers, as numbers."""
    found = set(names)
    if all(map(NUMBER.fullmatch, found)):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)


def numbered(labels: Column | Sequence[int], where: object) -> tuple[tuple[str, ...], Indices]:
    """Names of classes, and which of them each label is. Integers are labels already. Raises UserError."""
    if len(labels) and isinstance(labels[0], str):
        names = in_order(map(str, labels))
        index = {name: i for i, name in enumerate(names)}
        return tuple(names), np.array([index[str(label)] for label in labels], np.int64)
    column = np.array(labels, np.int64)
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, -1)
    if low < 0 or high >= len(column):
        raise UserError(
            f"{where}: labels from {low} to {high} of {len(column):,} images: they count from 0, and every class has an image"
        )
    return tuple(map(str, range(high + 1))), column


def label_column(labels: NDArray | Sequence[object], count: int, where: object) -> Column:
    """One label per image out of integers, floats, names, [N, 1] or one-hot rows. Raises UserError."""
    try:
        array = np.atleast_1d(np.asarray(labels))
    except ValueError as error:
        wanted = "wanted is one integer or name per image"
        raise UserError(f"{where}: labels of several lengths; {wanted}") from error
    rows = array.reshape(count, -1) if count and array.size % count == 0 else array[..., None]
    if len(rows) != count:
        raise UserError(f"{where}: {count:,} images but {array.size:,} labels")
    if array.dtype.kind in "SU" and rows.shape[-1] == 1:
        return [text(name, where) for name in rows[:, 0]]
    if array.dtype.kind not in "biuf" or not np.array_equal(rows, np.rint(rows)):
        raise UserError(
            f"{where}: labels are {array.dtype} {array.shape}; wanted is one integer or name per image"
        )
    if rows.shape[-1] > 1:
        if rows.min() < 0 or (rows.sum(axis=1) != 1).any():
            raise UserError(
                f"{where}: labels {array.shape} name none or several classes of an image; a generator takes one"
            )
        return rows.argmax(axis=1)
    return rows[:, 0].astype(np.int64)


def text(name: object, where: object) -> str:
    """A name, which may be bytes. Raises UserError unless they are UTF-8."""
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: a class's name is {name!r}, which is no UTF-8: write it so") from error
