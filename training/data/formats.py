"""Files -> Dataset, whichever layout they have."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from service.generator.classes import ClassNames, fault
from training.data.dataset import Dataset, misfit
from training.data.layouts import cifar, folders, idx, npz, parquet
from training.data.request import Request
from training.errors import UserError
from training.files import refuse_pointer

# The first that holds the path reads it: a folder of pictures is what is none of the others.
LAYOUTS = (npz, idx, cifar, parquet, folders)


def load(path: Path, name: str | None = None, size: int | None = None) -> Dataset:
    """Read a data set of any layout; which one is found out from what is there.

    name: the data set's name; the folder's or file's if None.
    size: crop each picture to a centred square and scale it to this side.
    Raises UserError, naming the file at fault.
    """
    asked = Request(path, name or (path.stem if path.is_file() else path.resolve().name), size)
    if path.is_file():
        refuse_pointer(path)
    layout = next((layout for layout in LAYOUTS if path.exists() and layout.holds(path)), None)
    if layout is None:
        what = "is no file that is read" if path.exists() else "does not exist"
        raise UserError(
            f"{path} {what}: give a folder of images with one subfolder per class, or of IDX, CIFAR, Parquet or tar "
            "files, or an .npz, .npy, .zip, .tar or .parquet file"
        )
    try:
        dataset = layout.read(asked)
        # A packed one has a name of its own.
        dataset = replace(dataset, name=name or dataset.name)
        check(dataset, path)
    except MemoryError as error:
        raise UserError(f"{path} does not fit into memory: {error}") from error
    except UserError as error:
        # What was left out may be the reason.
        raise UserError("; ".join([str(error), *asked.notes.left_out_lines()])) from error
    return replace(dataset, notes=tuple(asked.notes.lines()))


def check(dataset: Dataset, path: Path) -> None:
    """Refuse what cannot be trained on. Raises UserError."""
    if refusal := ClassNames(dataset.class_names).refusal():
        # Else it would be found out when the trained generator is exported.
        raise UserError(f"{path}: names of classes: {refusal}")
    if why := fault(dataset.name):
        raise UserError(f"{path}: its name, {why}, or give `prepare` another --name")
    if len(dataset.images) == 0:
        raise UserError(f"{path} holds no training images")
    if reason := misfit(*dataset.images.shape[2:]):
        raise UserError(f"{path} {reason}")
    if dataset.test_images.shape[1:] != dataset.images.shape[1:]:
        raise UserError(f"{path}: test images of another shape than the training images")
    for labels, which in ((dataset.labels, "training"), (dataset.test_labels, "test")):
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(dataset.class_names):
            raise UserError(
                f"{path}: {which} labels from {labels.min()} to {labels.max()}, "
                f"but {len(dataset.class_names)} classes: they count from 0"
            )
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    if absent := [name for name, count in zip(dataset.class_names, counts, strict=True) if count == 0]:
        more = f", and {len(absent) - 10} more" if len(absent) > 10 else ""
        raise UserError(
            f"{path}: no training image of class {', '.join(absent[:10])}{more}: give each some, or leave the class out"
        )
