"""Labels as people write them -> int64 [N] and the names of classes."""

import math
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


def numbered(
    labels: Column | Sequence[int | str], where: object, known: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], Indices]:
    """Names of classes, and which of them each label is. Integers are labels already.

    known: the names by label, if they are; labels that are names must be among them. Raises UserError.
    """
    if any(isinstance(label, str) for label in labels):
        found = list(map(str, labels))
        names = known or tuple(in_order(found))
        index = {name: i for i, name in enumerate(names)}
        if strange := sorted({*found} - {*names}):
            raise UserError(
                f"{where}: label '{strange[0]}' is none of the class names {', '.join(names[:8])}"
            )
        return names, np.array([index[label] for label in found], np.int64)
    # Before an int64 has to hold them.
    low, high = (int(min(labels)), int(max(labels))) if len(labels) else (0, -1)
    if low < 0 or high >= len(labels):
        raise UserError(
            f"{where}: labels from {low} to {high} of {len(labels):,} images: they count from 0, and every class has an image"
        )
    return known or tuple(map(str, range(high + 1))), np.array(labels, np.int64)


def label_column(labels: NDArray | Sequence[object], count: int, where: object) -> Column:
    """One label per image. Raises UserError.

    labels: whole numbers of any type, or names: [N], [N, 1, ...] or [1, N]; or one-hot rows [N, K].
    """
    wanted = "wanted is one integer or name per image"
    try:
        array = np.atleast_1d(np.asarray(labels))
    except ValueError as error:
        raise UserError(f"{where}: labels of several lengths; {wanted}") from error
    if array.shape == (1, count):
        array = array[0]
    if len(array) != count:
        shape = f", of shape {array.shape}" * (array.ndim > 1)
        raise UserError(f"{where}: {count:,} images but {array.size:,} labels{shape}")
    rows = array.reshape(count, math.prod(array.shape[1:]))
    alone = rows.shape[1] == 1
    if array.dtype.kind in "SU" and alone:
        return [text(name, where) for name in rows[:, 0]]
    what = f"{where}: labels are {array.dtype} {array.shape}"
    if array.dtype.kind not in "biuf" or not (alone or array.ndim == 2):
        raise UserError(f"{what}; {wanted}")
    wide = rows.astype(np.float64)
    if (wrong := rows[(wide != np.rint(wide)) | (np.abs(wide) >= 2.0**63)]).size:
        raise UserError(f"{what}, and one is {wrong[0]}; {wanted}")
    if alone:
        return rows[:, 0].astype(np.int64)
    if (wide < 0).any() or (wide.sum(axis=1) != 1).any():
        raise UserError(
            f"{where}: labels {array.shape} name none or several classes of an image; a generator takes one"
        )
    return rows.argmax(axis=1)


def text(name: object, where: object) -> str:
    """A name, which may be bytes. Raises UserError unless they are UTF-8."""
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: a class's name is {name!r}, which is no UTF-8: write it so") from error
