"""uint8 images <-> png, webp, jpeg, avif, gif, npy."""

import io
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from service.errors import WRITE, ContractError

_PACKET_BYTES = 1100  # of pixels; the heads of PNG, HTTP and TCP fill up the usual 1,500


def png(image: NDArray[np.uint8]) -> bytes:
    """image: uint8 [C, H, W], C 1 (grey), 3 (RGB) or 4 (RGBA). Returns a PNG.

    Written here because it is on the way of every sample: Pillow takes more than twice as long for 28x28.
    An image that fits one network packet as it is is stored: deflating it would save no packet, and
    zlib lets go of the interpreter's lock, which under load is long in coming back. Any other has the differences
    to the row above (filter 2), deflated in runs: of photographs of 512x512, 10.6 ms and 430 kB, where unfiltered
    rows at zlib's level 1 took 17.0 ms and 579 kB, level 6 50 ms and 429 kB, and Pillow at level 1 25.8 ms and 444 kB.
    """
    channels, height, width = image.shape
    pixels = image[0] if channels == 1 else image.transpose(1, 2, 0).reshape(height, -1)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter: 0, none
    if rows.size <= _PACKET_BYTES:
        rows[:, 1:] = pixels
        content = _stored(rows.tobytes())
    else:
        rows[:, 0], rows[0, 1:] = 2, pixels[0]
        np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
        stream = zlib.compressobj(1, strategy=zlib.Z_RLE)
        content = stream.compress(rows.data) + stream.flush()
    return b"".join((_png_head(channels, height, width), _chunk(b"IDAT", content), _PNG_END))


def webp(image: NDArray[np.uint8]) -> bytes:
    """image: uint8 [C, H, W], C 1, 3 or 4. Returns a lossless WebP (RGB or RGBA: the format has no grey)."""
    buffer = io.BytesIO()
    # Exact: also colours that nobody sees stay.
    _pillow(image).save(buffer, "WEBP", lossless=True, method=0, exact=image.shape[0] == 4)
    return buffer.getvalue()


def jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """image: uint8 [C, H, W], C 1, 3, or 4, which is laid on white; quality: 0 to 100, as libjpeg has it.

    Returns a JPEG of full colour resolution.
    """
    buffer = io.BytesIO()
    _pillow(without_alpha(image)).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


@lru_cache
def has_avif() -> bool:
    """Whether this Pillow was built with it."""
    return bool(features.check("avif"))


def avif(image: NDArray[np.uint8], quality: int, xmp: bytes = b"") -> bytes:
    """image: uint8 [C, H, W], C 1, 3 or 4; quality: 0 to 100, as libavif has it. Returns an AVIF of full colour resolution.

    At its highest speed, and on one thread: 34 ms for a photograph of 512x512, where the default took 261 and was 7 %
    smaller.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"subsampling": "4:4:4", "speed": 10, "max_threads": 1}
    _pillow(image).save(buffer, "AVIF", quality=quality, xmp=xmp, **options)
    return buffer.getvalue()


def npy(images: NDArray[np.uint8]) -> bytes:
    """images: uint8 [N, C, H, W]. Returns a .npy of uint8 [N, H, W, C], as image libraries expect."""
    count, channels, height, width = images.shape
    return _npy_head(count, height, width, channels) + images.transpose(0, 2, 3, 1).tobytes()


def grid(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """The images side by side, row by row; as square as can be if `columns` is not given.

    images: uint8 [N, C, H, W], N >= 1. Returns uint8 [C, rows * H, columns * W], white where no image is.
    """
    count, channels, height, width = images.shape
    columns = columns or columns_of(count)
    rows = -(-count // columns)
    cells = np.full((rows * columns, channels, height, width), 255, np.uint8)
    cells[:count] = images
    return (
        cells.reshape(rows, columns, channels, height, width)
        .transpose(2, 0, 3, 1, 4)
        .reshape(channels, rows * height, columns * width)
    )


def columns_of(count: int) -> int:
    """Of a grid that is as square as can be; it has no more rows."""
    return int(np.ceil(np.sqrt(count)))


def strip(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images side by side in one row. images: uint8 [N, C, H, W], N >= 1. Returns uint8 [C, H, N * W]."""
    return grid(images, len(images))


def gif(images: NDArray[np.uint8], frame_milliseconds: int) -> bytes:
    """The images one after another, over and over, as an animated GIF.

    Grey keeps every level; RGB gets the 256 colours that suit each frame best, RGBA laid on white. A frame like the one before it
    is not written: that one stays for longer.
    images: uint8 [N, C, H, W], N >= 1. frame_milliseconds: rounded to GIF's hundredths of a second.
    """
    first, *rest = [_pillow(without_alpha(image)) for image in images]
    buffer = io.BytesIO()
    duration = 10 * round(frame_milliseconds / 10)
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    return buffer.getvalue()


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The image in another size: by nearest neighbour where both sides grow by whole factors, else by Lanczos (a = 3).

    image: uint8 [C, H, W], C 1, 3 or 4; height, width >= 1. Returns uint8 [C, height, width].
    """
    _, old_height, old_width = image.shape
    if height % old_height == 0 and width % old_width == 0:
        return image.repeat(height // old_height, axis=1).repeat(width // old_width, axis=2)
    resized = _pillow(image).resize((width, height), Image.Resampling.LANCZOS)
    return np.atleast_3d(np.asarray(resized)).transpose(2, 0, 1)


def decode(file: bytes) -> NDArray[np.uint8]:
    """A PNG of one grey, RGB or RGBA image -> uint8 [C, H, W]. Raises ContractError for anything else."""
    try:
        with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
            pixels = np.asarray(image if image.mode in ("L", "RGBA") else image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ContractError(f"a golden sample is not a PNG: {error}", WRITE) from error
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def without_alpha(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """image: uint8 [C, H, W]. RGBA is laid on white, and is RGB then; what has no alpha is as it was."""
    if len(image) != 4:
        return image
    colour, alpha = image[:3].astype(np.uint32), image[3:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _pillow(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(
        image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    )


@lru_cache
def _png_head(channels: int, height: int, width: int) -> bytes:
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    size = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size)


@lru_cache
def _npy_head(*shape: int) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _stored(content: bytes) -> bytes:
    """A zlib stream (RFC 1950) of one stored block; content: at most 65,535 bytes."""
    size = len(content)
    head = b"\x78\x01\x01" + struct.pack("<HH", size, size ^ 0xFFFF)
    return b"".join((head, content, struct.pack(">I", zlib.adler32(content))))


def _chunk(name: bytes, content: bytes) -> bytes:
    named = name + content
    return b"".join((struct.pack(">I", len(content)), named, struct.pack(">I", zlib.crc32(named))))


_PNG_END = _chunk(b"IEND", b"")
