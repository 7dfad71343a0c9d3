"""Files -> Dataset, whichever of the three forms they have."""

from pathlib import Path

import numpy as np

from service.generator.classes import ClassNames
from training.data.dataset import Dataset
from training.data.idx import load_idx
from training.data.image_folder import load_folder
from training.data.packed import load_npz
from training.errors import UserError

SIZES = (28, 32, 64, 128)


def load(path: Path, name: str | None = None, size: int | None = None) -> Dataset:
    """Read a data set of any form; which one is found out from what is there.

    name: the data set's name; the folder's or file's if None.
    size: for a folder of images, crop each to a centred square and scale it to this side.
    Raises UserError, naming the file at fault.
    """
    name = name or (path.stem if path.suffix == ".npz" else path.resolve().name)
    if path.suffix == ".npz" and path.is_file():
        dataset = load_npz(path, name)
    elif not path.is_dir():
        what = "is neither a folder nor an .npz file" if path.exists() else "does not exist"
        raise UserError(
            f"{path} {what}: give an IDX folder, a folder of images with one subfolder a class, or an .npz"
        )
    elif any(path.glob("*idx3-ubyte*")):
        dataset = load_idx(path, name)
    else:
        dataset = load_folder(path, name, size)
    check(dataset, path)
    return dataset


def check(dataset: Dataset, path: Path) -> None:
    """Refuse what cannot be trained on. Raises UserError."""
    if len(dataset.images) == 0:
        raise UserError(f"{path} holds no training images")
    _, _, height, width = dataset.images.shape
    if height != width or height not in SIZES:
        sizes = ", ".join(f"{size}x{size}" for size in SIZES)
        raise UserError(
            f"{path}: images of {width}x{height}; the networks make {sizes}: use `prepare --size N`"
        )
    if dataset.test_images.shape[1:] != dataset.images.shape[1:]:
        raise UserError(f"{path}: test images of another shape than the training images")
    for labels, images, which in (
        (dataset.labels, dataset.images, "training"),
        (dataset.test_labels, dataset.test_images, "test"),
    ):
        if len(labels) != len(images):
            raise UserError(f"{path}: {len(images)} {which} images but {len(labels)} labels")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(dataset.class_names):
            raise UserError(
                f"{path}: {which} labels from {labels.min()} to {labels.max()}, "
                f"but {len(dataset.class_names)} classes: they count from 0"
            )
    if refusal := ClassNames(dataset.class_names).refusal():
        # Else it would be found out when the trained generator is exported.
        raise UserError(f"{path}: names of classes: {refusal}")
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    if absent := [name for name, count in zip(dataset.class_names, counts, strict=True) if count == 0]:
        raise UserError(f"{path}: no training image of class {', '.join(absent)}")
    if len(dataset.class_names) < 2:
        raise UserError(
            f"{path}: only one class, {', '.join(dataset.class_names)}: is it the right folder level?"
        )
