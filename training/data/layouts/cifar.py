"""CIFAR-10 and CIFAR-100 as they are distributed: pickles, none of whose code is run, or binaries."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from training.data.arrays import channels_first, dataset_of
from training.data.dataset import Dataset, Pixels
from training.data.labels import Column, label_column, text
from training.data.request import Request
from training.errors import UserError, refused

_NUMBERS = 3 * 32 * 32
_SHAPES = (_NUMBERS,), (3, 32, 32), (32, 32, 3)
# Train files, test files, names of classes, bytes of labels before each image (the last one counts).
_FORMS = (
    ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "batches.meta", 0),
    (["train"], ["test"], "meta", 0),
    ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"], "batches.meta.txt", 1),
    (["train.bin"], ["test.bin"], "fine_label_names.txt", 2),
)
# All that a pickled array is made of.
_ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip


def holds(path: Path) -> bool:
    return bool(form_of(path))


def form_of(path: Path) -> tuple[list[Path], list[Path], Path, int] | None:
    """Files of the form that lies in the folder: one batch is enough."""
    if path.is_dir():
        for train, test, names, before in _FORMS:
            there = [[path / file for file in files if (path / file).is_file()] for files in (train, test)]
            if there[0] and (there[1] or (path / names).is_file()):
                return there[0], there[1], path / names, before
    return None


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    form = form_of(asked.path)
    assert form is not None
    train, test, names, before = form
    splits = [stacked(files, before, asked) for files in (train, test) if files]
    return dataset_of(asked, *splits, class_names=class_names(names))


def stacked(files: list[Path], before: int, asked: Request) -> tuple[Pixels, Column]:
    """uint8 [N, 3, 32, 32], and a label each. Raises UserError."""
    pixels, labels = zip(*batches(files, before), strict=True)
    return np.concatenate([channels_first(part, asked) for part in pixels]), np.concatenate(labels)


def batches(files: list[Path], before: int) -> Iterator[tuple[Pixels, Column]]:
    """uint8 [N, 3072], or as pickles may have them [N, 3, 32, 32] or [N, 32, 32, 3]."""
    for file in files:
        if before:
            content = np.frombuffer(file.read_bytes(), np.uint8)
            if content.size % (before + _NUMBERS):
                raise UserError(
                    f"{file} is cut short or no CIFAR: {content.size} bytes, {before + _NUMBERS} an image"
                )
            rows = content.reshape(-1, before + _NUMBERS)
            yield rows[:, before:], rows[:, before - 1].astype(np.int64)
        else:
            batch = unpickled(file)
            pixels, column = batch.get("data"), batch.get("fine_labels", batch.get("labels", ()))
            if (
                not isinstance(pixels, np.ndarray)
                or pixels.dtype != np.uint8
                or pixels.shape[1:] not in _SHAPES
            ):
                raise UserError(f"{file} is no batch of CIFAR: it has no uint8 `data` of 3,072 per image")
            yield pixels, label_column(column, len(pixels), file)


def class_names(file: Path) -> tuple[str, ...] | None:
    if not file.is_file():
        return None
    if file.suffix == ".txt":
        lines = [text(line, file).strip() for line in file.read_bytes().splitlines()]
        return tuple(line for line in lines if line)
    names = unpickled(file)
    found = names.get("fine_label_names", names.get("label_names"))
    return tuple(text(name, file) for name in found) if isinstance(found, list) else None


class Arrays(pickle.Unpickler):
    """Builds arrays, numbers and text, and refuses everything else that a pickle may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")
        return super().find_class(module, name)


def unpickled(file: Path) -> dict[str, Any]:
    """Raises UserError."""
    # What a damaged pickle raises has no bounds.
    with refused(f"{file} cannot be read as a pickle of CIFAR", Exception):
        document = Arrays(io.BytesIO(file.read_bytes()), encoding="bytes").load()
        return {text(name, file): value for name, value in document.items()}
