"""The packed form, an .npz, and the .npz files of others."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, hold_out
from training.errors import UserError
from training.files import write_atomically


def load_npz(path: Path, name: str) -> Dataset:
    """images uint8 [N, C, H, W], [N, H, W, C] or [N, H, W]; labels [N]; class_names and test_* if there.

    `x_train, y_train, x_test, y_test`, as Keras names them, are read too.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {KERAS.get(key, key): file[key] for key in map(str, file.files)}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as an .npz without pickles: {error}") from error
    if "images" not in arrays or "labels" not in arrays:
        raise UserError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; it must hold `images` and `labels`"
        )
    images, labels = (
        channels_first(path, arrays["images"]),
        label_column(path, arrays["labels"], arrays["images"]),
    )
    if "class_names" in arrays:
        class_names = tuple(str(text) for text in arrays["class_names"])
    else:
        class_names = tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))
    if "dataset" in arrays:
        name = str(arrays["dataset"])
    if "test_images" not in arrays or "test_labels" not in arrays:
        return hold_out(name, class_names, images, labels)
    test_images = channels_first(path, arrays["test_images"])
    test_labels = label_column(path, arrays["test_labels"], arrays["test_images"])
    how = str(arrays["split"]) if "split" in arrays else Dataset.split
    return Dataset(name, class_names, images, labels, test_images, test_labels, how)


KERAS = {"x_train": "images", "y_train": "labels", "x_test": "test_images", "y_test": "test_labels"}


def channels_first(path: Path, images: NDArray) -> NDArray[np.uint8]:
    if images.dtype != np.uint8:
        raise UserError(f"{path}: images are {images.dtype}; they must be uint8, 0 to 255")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    raise UserError(
        f"{path}: images have shape {images.shape}; wanted are [N, C, H, W], [N, H, W, C] or [N, H, W]"
    )


def label_column(path: Path, labels: NDArray, images: NDArray) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(images):
        raise UserError(f"{path}: labels are {labels.dtype} {labels.shape}; wanted is one integer an image")
    return labels.reshape(-1).astype(np.int64)


def save_npz(dataset: Dataset, path: Path) -> None:
    """The packed form: one .npz that `load` reads fast, written whole or not at all."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=dataset.images,
        labels=dataset.labels,
        test_images=dataset.test_images,
        test_labels=dataset.test_labels,
        class_names=np.array(dataset.class_names),
        dataset=np.array(dataset.name),
        split=np.array(dataset.split),
    )
    write_atomically(path, buffer.getvalue())
