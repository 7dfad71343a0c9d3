"""Arrays in an .npz or .npy, by the names that people give them; and the packed form that `prepare` writes."""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import dataset_of
from training.data.dataset import Dataset
from training.data.labels import Column, label_column, text
from training.data.request import Request
from training.errors import UserError, refused

# Ours, Keras', MedMNIST's, and what others are seen to write; the first that is there counts.
_IMAGES = ("images", "x_train", "train_images", "train_x", "x", "data", "image", "imgs", "samples", "arr_0")
_LABELS = ("labels", "y_train", "train_labels", "train_y", "y", "targets", "label", "arr_1")
_HELD_OUT = (
    (("test_images", "x_test", "test_x"), ("test_labels", "y_test", "test_y")),
    (("val_images", "x_val", "x_valid", "valid_images"), ("val_labels", "y_val", "y_valid", "valid_labels")),
)
_NAMES = ("class_names", "classes", "label_names")


def holds(path: Path) -> bool:
    return path.suffix.lower() in (".npz", ".npy")


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    path = asked.path
    if path.suffix.lower() == ".npz" and not zipfile.is_zipfile(path):
        # NumPy would take it for a pickle, and say how to run that.
        raise UserError(f"{path} is no .npz: it is cut short, or another kind of file")
    errors = OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, SyntaxError
    unread = refused(f"{path} cannot be read as an {path.suffix} without pickles", *errors)
    # np.load leaves a file that it opened itself open where it turns out to be no archive.
    with unread, path.open("rb") as opened:
        loaded = np.load(opened, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return dataset_of(asked, (loaded, None))
        with loaded as file:
            return arrays_of({str(name).lower(): str(name) for name in file.files}, file, asked)


def arrays_of(names: dict[str, str], file: np.lib.npyio.NpzFile, asked: Request) -> Dataset:
    def first(wanted: tuple[str, ...]) -> NDArray | None:
        return next((file[names[name]] for name in wanted if name in names), None)

    def split(images: tuple[str, ...], labels: tuple[str, ...]) -> tuple[NDArray, Column | None] | None:
        if (pixels := first(images)) is None:
            return None
        pixels, column = np.atleast_1d(pixels), first(labels)
        return pixels, None if column is None else label_column(column, len(pixels), asked.path)

    train = split(_IMAGES, _LABELS)
    if train is None:
        raise UserError(
            f"{asked.path} holds {', '.join(sorted(names)) or 'nothing'}; it must hold `images` and `labels`"
        )
    held_out = [keys for keys in _HELD_OUT if any(name in names for name in keys[0])]
    for images, _ in held_out[1:]:
        unused = next(name for name in images if name in names)
        asked.notes.left_out("since the test images are held out", unused)
    given, class_names = first(_NAMES), None
    if given is not None:
        class_names = tuple(text(name, asked.path) for name in np.ravel(given).tolist())
    dataset = dataset_of(asked, train, split(*held_out[0]) if held_out else None, class_names)
    if "dataset" in names and file["dataset"].size == 1:
        dataset = replace(dataset, name=text(file["dataset"].item(), asked.path))
    return replace(dataset, split=str(file["split"])) if "split" in names and held_out else dataset


def write(dataset: Dataset, file: BinaryIO) -> None:
    """The packed form, as it goes: no second copy of the images."""
    parts = ("images", "labels", "test_images", "test_labels", "class_names", "split")
    arrays: dict[str, Any] = {name: np.asarray(getattr(dataset, name)) for name in parts}
    np.savez(file, dataset=np.array(dataset.name), **arrays)
