"""A folder of images, one subfolder per class."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.data.dataset import Dataset, hold_out
from training.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


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
    if {folder.name.lower() for folder in folders} <= SPLITS:
        raise UserError(
            f"{path} holds images in {', '.join(folder.name for folder in folders)}: those are splits, not classes"
        )
    rows = [(file, label) for label, folder in enumerate(folders) for file in files[folder]]
    pictures = [read_image(file, size) for file, _ in rows]
    check_same_size(pictures, [file for file, _ in rows])
    # One picture in colour makes it a data set in colour.
    channels = max(picture.shape[0] for picture in pictures)
    images = np.stack([np.broadcast_to(picture, (channels, *picture.shape[1:])) for picture in pictures])
    labels = np.array([label for _, label in rows], np.int64)
    return hold_out(name, tuple(folder.name for folder in folders), images, labels)


def check_same_size(pictures: list[NDArray[np.uint8]], files: list[Path]) -> None:
    sizes = Counter(picture.shape[1:] for picture in pictures)
    if len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        odd = next(file for picture, file in zip(pictures, files, strict=True) if picture.shape[1:] != common)
        raise UserError(
            f"{odd.parent.parent} mixes {len(sizes)} sizes ({odd.parent.name}/{odd.name} differs from most): "
            f"use `prepare --size N` to crop and scale them all"
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
            # Telephones store pictures lying down, with a note which way is up.
            picture = flattened(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as an image: {error}") from error
    if size is not None and picture.size != (size, size):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        # Lanczos averages as it shrinks; sampling instead would alias, and G would learn the aliases.
        picture = picture.crop((left, top, left + side, top + side)).resize(
            (size, size), Image.Resampling.LANCZOS
        )
    return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)


def flattened(picture: Image.Image) -> Image.Image:
    """Mode L for grey, RGB for anything else."""
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    if picture.mode.startswith("I;16"):
        # Pillow's own conversion would clip at 255 instead of scaling.
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
