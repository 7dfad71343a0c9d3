"""Files -> Dataset: IDX folders, folders of images, .npz; and the packed form that `prepare` writes."""

import gzip
import io
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from training.checkpoint import write_atomically
from training.dataset import Dataset
from training.errors import UserError

SIZES = (28, 32, 64, 128)
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
HELD_OUT = 1 / 6
# Of each class, where the source has no test split of its own: the share of Fashion-MNIST's.

FASHION_MNIST = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


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


# ---- IDX: MNIST, Fashion-MNIST and their like (yann.lecun.com/exdb/mnist) ---------------------


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
    fashion = "fashion" in name.lower() and int(labels.max(initial=0)) == 9
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
    shape = np.frombuffer(content[4:start], ">u4").astype(np.int64)
    if len(content) - start != shape.prod():
        raise UserError(
            f"{file} is cut short or damaged: {len(content) - start} bytes for shape {tuple(shape.tolist())}"
        )
    # Copied: torch warns of arrays that cannot be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


# ---- A folder of images, one subfolder a class ---------------------------------------------------


def load_folder(path: Path, name: str, size: int | None) -> Dataset:
    """Subfolders are the classes, in alphabetical order; their names are the class names."""
    folders = sorted(
        folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    )
    files = {folder: images_in(folder) for folder in folders}
    if not any(files.values()):
        raise UserError(f"{path} {wrong_level(path, folders)}")
    if empty := [folder.name for folder in folders if not files[folder]]:
        raise UserError(
            f"{path / empty[0]} holds no images: every subfolder is a class, so remove it or fill it"
        )
    if images_in(path):
        raise UserError(
            f"{path} holds images beside the class folders ({images_in(path)[0].name}): of which class?"
        )
    rows = [(file, label) for label, folder in enumerate(folders) for file in files[folder]]
    pictures = [read_image(file, size) for file, _ in rows]
    check_same_size(pictures, [file for file, _ in rows])
    # One picture in colour makes it a data set in colour.
    channels = max(picture.shape[0] for picture in pictures)
    images = np.stack([np.broadcast_to(picture, (channels, *picture.shape[1:])) for picture in pictures])
    labels = np.array([label for _, label in rows], np.int64)
    return split(name, tuple(folder.name for folder in folders), images, labels)


def check_same_size(pictures: list[NDArray[np.uint8]], files: list[Path]) -> None:
    sizes = Counter(picture.shape[1:] for picture in pictures)
    if len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        odd = next(file for picture, file in zip(pictures, files, strict=True) if picture.shape[1:] != common)
        raise UserError(
            f"{odd.parent.parent} mixes {len(sizes)} sizes ({odd.parent.name}/{odd.name} differs from most): "
            f"use `prepare --size N` to crop and scale them all, N one of {', '.join(map(str, SIZES))}"
        )


def wrong_level(path: Path, folders: list[Path]) -> str:
    """Why a folder in which no subfolder holds images is not a data set."""
    if images_in(path):
        return "holds images but no class folders: put each class's images into a subfolder named after the class"
    for folder in folders:
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and images_in(inner):
                return f"is one level too high: its subfolder '{folder.name}' holds the class folders; give that one"
    return "holds no images: give a folder with one subfolder a class"


def images_in(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def read_image(file: Path, size: int | None) -> NDArray[np.uint8]:
    """uint8 [1, H, W] for a grey picture, [3, H, W] for any other; alpha lies on white."""
    try:
        with Image.open(file) as opened:
            picture = opened.convert("L") if opened.mode in ("1", "L", "I;16") else on_white(opened)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as an image: {error}") from error
    if size is not None and picture.size != (size, size):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        # Lanczos averages as it shrinks; sampling instead would alias, and G would learn the aliases.
        picture = picture.crop((left, top, left + side, top + side)).resize(
            (size, size), Image.Resampling.LANCZOS
        )
    return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)


def on_white(opened: Image.Image) -> Image.Image:
    if "A" in opened.getbands() or "transparency" in opened.info:
        opened = opened.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened).convert("RGB")
    return opened.convert("RGB")


# ---- .npz: ours, and other people's -------------------------------------------------------------


def load_npz(path: Path, name: str) -> Dataset:
    """images uint8 [N, C, H, W], [N, H, W, C] or [N, H, W]; labels [N]; class_names and test_* if there.

    `x_train, y_train, x_test, y_test`, as Keras names them, are read too.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {KERAS.get(key, key): file[key] for key in file.files}
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
        return split(name, class_names, images, labels)
    test_images = channels_first(path, arrays["test_images"])
    test_labels = label_column(path, arrays["test_labels"], arrays["test_images"])
    how = str(arrays["split"]) if "split" in arrays else "given"
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


# ---- What all of them must be ---------------------------------------------------------------------


def split(
    name: str, class_names: tuple[str, ...], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Dataset:
    """Hold out a sixth of each class: the same images whenever the same files are read."""
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # A class's only image is trained on.
        count = min(max(1, round(len(members) * HELD_OUT)), len(members) - 1)
        held_out[np.random.default_rng([0, int(label)]).permutation(members)[:count]] = True
    how = "a sixth of each class, held out by a fixed seed"
    return Dataset(
        name, class_names, images[~held_out], labels[~held_out], images[held_out], labels[held_out], how
    )


def check(dataset: Dataset, path: Path) -> None:
    """Refuse what cannot be trained on. Raises UserError."""
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
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    if absent := [name for name, count in zip(dataset.class_names, counts, strict=True) if count == 0]:
        raise UserError(f"{path}: no training image of class {', '.join(absent)}")
    if len(dataset.class_names) < 2:
        raise UserError(f"{path}: only one class, '{dataset.class_names[0]}': is it the right folder level?")
