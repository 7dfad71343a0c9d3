"""Arrays as the bytes of files."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode(images: NDArray[np.uint8], format: str) -> bytes:
    """images: uint8 [N, H, W, C], N >= 1, C 1 or 3; a grid of them as `png` or lossless `webp`, or all as `npy`."""
    buffer = io.BytesIO()
    if format == "npy":
        np.save(buffer, images, allow_pickle=False)
    else:
        whole = grid(images)
        picture = Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole)
        picture.save(buffer, format.upper(), **({"lossless": True} if format == "webp" else {}))
    return buffer.getvalue()


def grid(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images row by row, as square as can be, as the server lays them out.

    images: uint8 [N, H, W, C], N >= 1. Returns uint8 [rows * H, columns * W, C], white where no image is.
    """
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, channels), 255, np.uint8)
    cells[:count] = images
    in_rows = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return in_rows.reshape(rows * height, columns * width, channels)
