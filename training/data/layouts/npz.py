"""Arrays in an .npz or .npy, by the names that people give them; and the packed form that `prepare` writes."""

import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import dataset_of
from training.data.dataset import Dataset
from training.data.labels import TEST, TRAIN, VALIDATION, Column, label_column, split_of, text
from training.data.request import Request
from training.errors import UserError, refused

# Ours, Keras', MedMNIST's, and what others are seen to write: `x_train`, `test_images`, `labels-val`.
_SPLIT = "|".join(TRAIN | TEST | VALIDATION)
_KEY = re.compile(
    rf"(?:({_SPLIT})[\W_]*)?(?:(images?|imgs?|x|data|samples)|labels?|targets?|y)(?:[\W_]*({_SPLIT}))?"
)
_UNNAMED = {"arr_0": "images", "arr_1": "labels", "arr_2": "test_images", "arr_3": "test_labels"}
NOT_READ = "an array of which nothing is read"
_NAMES = ("class_names", "classes", "label_names", "target_names")


def holds(path: Path) -> bool:
    return path.suffix.lower() in (".npz", ".npy")


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    path = asked.path
    if path.suffix.lower() == ".npz" and not zipfile.is_zipfile(path):
        # NumPy would take it for a pickle, and say how to run that.
        raise UserError(f"{path} is no .npz: it is cut short, or another kind of file")
    # The last: encrypted, or packed in a way that is not known.
    errors = (
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        SyntaxError,
        TokenError,
        RuntimeError,
    )
    unread = refused(f"{path} cannot be read as an {path.suffix} without pickles", *errors)
    # np.load leaves a file that it opened itself open where it turns out to be no archive.
    with unread, path.open("rb") as opened:
        loaded = np.load(opened, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return dataset_of(asked, (loaded, None))
        with loaded as file:
            return arrays_of(file, asked)


def meant_by(name: str) -> tuple[str, str]:
    """What an array of this name is, and of which split: `X_train` -> images, train; empty where it says neither."""
    name = name.lower()
    if match := _KEY.fullmatch(_UNNAMED.get(name, name)):
        return "images" if match[2] else "labels", split_of(match[1] or match[3] or "train")
    return ("names" if name in _NAMES else name if name in ("dataset", "split") else ""), ""


def arrays_of(file: np.lib.npyio.NpzFile, asked: Request) -> Dataset:
    found: dict[tuple[str, str], str] = {}
    for name in map(str, file.files):
        if not (meant := meant_by(name))[0]:
            asked.notes.left_out(NOT_READ, name)
        elif (other := found.setdefault(meant, name)) != name or file.files.count(name) > 1:
            raise UserError(f"{asked.path} holds both {other} and {name}, which mean the same: leave one out")

    def taken(what: str, split: str = "") -> NDArray | None:
        name = found.pop((what, split), None)
        return None if name is None else np.atleast_1d(file[name])

    def part(split: str) -> tuple[NDArray, Column | None] | None:
        if (pixels := taken("images", split)) is None:
            return None
        column = taken("labels", split)
        return pixels, None if column is None else label_column(column, len(pixels), asked.path)

    train, test = part("train"), part("test") or part("val")
    if train is None:
        raise UserError(
            f"{asked.path} holds {', '.join(sorted(file.files)) or 'nothing'}; it must hold `images` and `labels`"
        )
    if (names := taken("names")) is not None:
        names = tuple(text(one, asked.path) for one in names.ravel().tolist())
    said = {}
    for what, field in (("dataset", "name"), ("split", "split")):
        if (one := taken(what)) is not None and one.size == 1:
            said[field] = text(one.item(), asked.path)
        elif one is not None:
            asked.notes.left_out(NOT_READ, what)
    for (_, which), unused in found.items():
        why = "since the test images are held out" if test and which == "val" else NOT_READ
        asked.notes.left_out(why, unused)
    dataset = dataset_of(asked, train, test, names)
    return replace(dataset, **(said if test else said | {"split": dataset.split}))


def write(dataset: Dataset, file: BinaryIO) -> None:
    """The packed form, as it goes: no second copy of the images."""
    parts = ("images", "labels", "test_images", "test_labels", "class_names", "split")
    arrays: dict[str, Any] = {name: np.asarray(getattr(dataset, name)) for name in parts}
    np.savez(file, dataset=np.array(dataset.name), **arrays)
