"""IDX files: MNIST (yann.lecun.com/exdb/mnist), and what has its form: Fashion-MNIST, KMNIST, EMNIST, mirrors' names."""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from training.data.arrays import dataset_of
from training.data.dataset import Dataset, Pixels
from training.data.labels import label_column
from training.data.request import Request
from training.errors import UserError, refused

FASHION_MNIST_LABELS_CRC32 = 0x2ED6E46A
FASHION_MNIST = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# emnist-letters-train-images-idx3-ubyte.gz, train-images.idx3-ubyte, t10k-labels-idx1-ubyte.
_FILE = re.compile(r"(.*?)[-_.]?(train|t10k|test)[-_.](images|labels)[-_.]idx(\d)[-_.]ubyte(\.gz)?", re.I)
_DIGITS, _CAPITALS, _SMALL = (range(ord(first), ord(last) + 1) for first, last in ("09", "AZ", "az"))
# Which small letters EMNIST's sets tell from capitals.
_SMALL_ONES = {"byclass": _SMALL, "balanced": b"abdefghnqrt", "bymerge": b"abdefghnqrt"}


def holds(path: Path) -> bool:
    return path.is_dir() and any(_FILE.fullmatch(file.name) for file in path.iterdir())


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    path = asked.path
    files = {}
    for file in sorted(path.iterdir()):
        if found := _FILE.fullmatch(file.name):
            prefix, split, part = found[1].lower(), found[2].lower(), found[3].lower()
            # Unpacked and packed may lie side by side.
            files.setdefault(prefix, {}).setdefault(("train" if split == "train" else "t10k", part), file)
        elif "idx" in file.name.lower():
            asked.notes.left_out("an IDX file, of neither train nor test by its name", file.name)
    if len(files) > 1:
        raise UserError(
            f"{path} holds {len(files)} data sets, {', '.join(files)}: move the files of one into a folder of its own"
        )
    ((prefix, parts),) = files.items()
    arrays = {}
    for split in ("train", "t10k") if any(split == "t10k" for split, _ in parts) else ("train",):
        for part, dimensions in (("images", 3), ("labels", 1)):
            if (split, part) not in parts:
                raise UserError(
                    f"{path} has no {prefix}{'-' * bool(prefix)}{split}-{part}-idx{dimensions}-ubyte.gz: "
                    "an IDX folder holds images and labels"
                )
            arrays[split, part] = read_idx(parts[split, part])
        file, images = parts[split, "labels"], arrays[split, "images"]
        arrays[split, "labels"] = label_column(arrays[split, "labels"], len(images), file)
        if "emnist" in prefix and images.ndim != 3:
            raise UserError(f"{path}: {split} images have shape {images.shape}; EMNIST's are [N, H, W]")
    labels = arrays["train", "labels"]
    class_names, first = None, 0
    # Fashion-MNIST's files carry no class names; its labels are known by their checksum.
    if zlib.crc32(labels.astype(np.uint8).tobytes()) == FASHION_MNIST_LABELS_CRC32:
        class_names = FASHION_MNIST
    elif "emnist" in prefix:
        first = int("letters" in prefix and labels.min(initial=1) > 0)
        class_names = emnist(prefix)[: int(labels.max(initial=0)) - first + 1]
        arrays |= {key: array.transpose(0, 2, 1) for key, array in arrays.items() if key[1] == "images"}
        asked.notes.noted("turned upright, since EMNIST's lie on their side and mirrored", path.name)
    there = dict.fromkeys(split for split, _ in arrays)
    splits = [(arrays[one, "images"], arrays[one, "labels"] - first) for one in there]
    return dataset_of(asked, *splits, class_names=class_names)


def emnist(prefix: str) -> tuple[str, ...]:
    """The classes of one of EMNIST's sets."""
    if "letters" in prefix:
        return tuple(map(chr, _CAPITALS))
    small = next((codes for kind, codes in _SMALL_ONES.items() if kind in prefix), None)
    if small is None:
        return tuple(map(chr, _DIGITS))
    # A letter in two sizes would be one name twice: case tells no names apart.
    return (*map(chr, _DIGITS), *map(chr, _CAPITALS), *(f"{chr(code)} (small)" for code in small))


def read_idx(file: Path) -> Pixels:
    """One IDX file of unsigned bytes."""
    with refused(f"{file} cannot be read", OSError, EOFError, zlib.error):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    # Two zero bytes, the type (8: unsigned byte), the number of dimensions, each as 4 bytes.
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise UserError(f"{file} is not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != math.prod(shape):
        raise UserError(f"{file} is cut short or damaged: {len(content) - start} bytes for shape {shape}")
    # Copied: torch warns of arrays that cannot be written to.
    return np.atleast_1d(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
