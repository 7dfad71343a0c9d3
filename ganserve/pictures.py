"""Arrays as the bytes of files."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAME_MILLISECONDS = 80


def encode(images: NDArray[np.uint8], format: str) -> bytes:
    """images: uint8 [N, H, W, C], N >= 1; a grid of them as `png` or `webp`, or all as `npy`."""
    return npy(images) if format == "npy" else picture(grid(images), format)


def encode_frames(images: NDArray[np.uint8], format: str) -> bytes:
    """The same of images that follow each other: one row, or an animation as `gif`."""
    if format == "gif":
        return gif(images)
    return npy(images) if format == "npy" else picture(grid(images, len(images)), format)


def grid(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """The images row by row, as the server lays them out: as square as can be if `columns` is not given.

    images: uint8 [N, H, W, C], N >= 1. Returns uint8 [rows * H, columns * W, C], white where no image is.
    """
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, channels), 255, np.uint8)
    cells[:count] = images
    in_rows = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return in_rows.reshape(rows * height, columns * width, channels)


def picture(image: NDArray[np.uint8], format: str) -> bytes:
    """image: uint8 [H, W, C], C 1 or 3. Returns a `png`, or a lossless `webp`."""
    buffer = io.BytesIO()
    _pillow(image).save(buffer, format.upper(), **({"lossless": True} if format == "webp" else {}))
    return buffer.getvalue()


def gif(images: NDArray[np.uint8]) -> bytes:
    """The images one after another, over and over. images: uint8 [N, H, W, C], N >= 1."""
    first, *rest = [_pillow(image) for image in images]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=FRAME_MILLISECONDS, loop=0)
    return buffer.getvalue()


def npy(images: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, images, allow_pickle=False)
    return buffer.getvalue()


def _pillow(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else np.ascontiguousarray(image))
