"""IDX files: MNIST, Fashion-MNIST and their like (yann.lecun.com/exdb/mnist)."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.errors import UserError

FASHION_MNIST_LABELS_CRC32 = 0x2ED6E46A
FASHION_MNIST = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def load_idx(path: Path, name: str) -> Dataset:
    """The four IDX files, with or without .gz."""
    arrays = {}
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        found = [file for file in (path / f"{part}-ubyte.gz", path / f"{part}-ubyte") if file.is_file()]
        if not found:
            raise UserError(
                f"{path} has no {part}-ubyte.gz: an IDX folder holds images and labels of train and t10k"
            )
        arrays[part] = read_idx(found[0])
    labels = arrays["train-labels-idx1"].astype(np.int64)
    # Fashion-MNIST's files carry no class names; its labels are known by their checksum.
    fashion = zlib.crc32(arrays["train-labels-idx1"].tobytes()) == FASHION_MNIST_LABELS_CRC32
    return Dataset(
        name=name,
        class_names=FASHION_MNIST
        if fashion
        else tuple(str(label) for label in range(int(labels.max(initial=0)) + 1)),
        images=arrays["train-images-idx3"][:, None],
        labels=labels,
        test_images=arrays["t10k-images-idx3"][:, None],
        test_labels=arrays["t10k-labels-idx1"].astype(np.int64),
    )


def read_idx(file: Path) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    # Two zero bytes, the type (8: unsigned byte), the number of dimensions, each as 4 bytes.
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise UserError(f"{file} is not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != math.prod(shape):
        raise UserError(f"{file} is cut short or damaged: {len(content) - start} bytes for shape {shape}")
    # Copied: torch warns of arrays that cannot be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
