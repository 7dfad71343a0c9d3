"""Pictures that clients send -> pixels in a model's own shape. Whoever sends them may mean harm, so little is believed.

What a file is, its first bytes say, and neither its name nor a header does. Its size is known from its head, before
anything is decoded. Of a picture its pixels stay; EXIF, colour profiles, texts and thumbnails go.
"""

import asyncio
import io
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service import metrics
from service.drawing.sizes import Size
from service.errors import DeadlinePassed, InvalidField, QueueFull
from service.generator.contract import ImageShape
from service.machine.hardware import available_cpus

MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
MOST_BYTES = 2**24
"""Of one file."""
MOST_PIXELS = 2**24
"""Of one picture, as 4096x4096: 64 MB while it is decoded."""
MOST_PIXELS_TOGETHER = 2**26
"""Of all pictures of a request: some seconds of one core at worst."""
# A progressive JPEG has ten scans or so, and each goes over all pixels: an attacker's has thousands.
_MOST_SCANS = 64
_START_OF_SCAN = b"\xff\xda"

_BEGINNINGS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's number."""

# Pillow says it where it would go on; here it is refused, and nobody's log has to hear of it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


# Not asyncio's own threads, which others need, nor every core.
_THREADS = ThreadPoolExecutor(max(1, available_cpus() // 2), "uploads")
MOST_WAITING = 16
"""Requests whose pictures are decoded, or wait for that: each holds its body in memory."""
_waiting = 0  # read and written on the event loop


class Pictures(NamedTuple):
    """pixels: uint8 [N, C, H, W]. sizes: of the pictures as they were sent, upright; N."""

    pixels: NDArray[np.uint8]
    sizes: list[Size]


def pictures(files: Sequence[bytes], shape: ImageShape, field: str = "images") -> Pictures:
    """PNG, JPEG and WebP files, one picture each, in the shape of a model's images. Takes a core up to seconds: not for the event loop.

    They are turned upright as EXIF says; cropped around the centre to the model's aspect ratio and scaled (Lanczos) where
    they have another size, as `python -m training prepare` does it; of 16 bits the upper 8 are taken; what is transparent lies
    on white, where the model has no alpha; grey is made of colour, and colour of grey, as the model has it.
    Raises InvalidField, naming `field` and which of several it is: no such file, a damaged one, an animation, too many
    bytes or pixels.
    """
    names = [f"{field}[{i}]" if len(files) > 1 else field for i in range(len(files))]
    pixels = 0
    for name, file in zip(names, files, strict=True):
        pixels += _count_pixels(file, name)
        if pixels > MOST_PIXELS_TOGETHER:
            raise InvalidField(
                field,
                f"The pictures have more than {MOST_PIXELS_TOGETHER} pixels together: send fewer, or smaller ones.",
            )
    found = Pictures(np.empty((len(files), shape.channels, shape.height, shape.width), np.uint8), [])
    for i, (name, file) in enumerate(zip(names, files, strict=True)):
        found.pixels[i], size = _read(file, shape, name)
        found.sizes.append(size)
    return found


async def decoded(
    files: Sequence[bytes], shape: ImageShape, deadline: float, field: str = "images"
) -> Pictures:
    """As `pictures`, in a thread. deadline: time.monotonic() seconds. Raises QueueFull, DeadlinePassed and what it raises."""
    global _waiting
    if _waiting >= MOST_WAITING:
        metrics.refused.labels("queue_full").inc()
        raise QueueFull(f"The pictures of {_waiting} requests are being decoded, and no more can wait.", 1)
    _waiting += 1
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(_THREADS, pictures, files, shape, field)
    except TimeoutError:
        metrics.dropped.labels("deadline").inc()
        raise DeadlinePassed("The deadline passed before the pictures were decoded.") from None
    finally:
        _waiting -= 1


def _count_pixels(file: bytes, name: str) -> int:
    """By the head of the file. Raises InvalidField for what is not to be decoded."""
    if len(file) > MOST_BYTES:
        raise InvalidField(name, f"The picture has {len(file)} bytes; allowed are {MOST_BYTES}.")
    form = _form(file, name)
    try:
        with Image.open(io.BytesIO(file), formats=[form]) as image:
            width, height = image.size
            # Two photographs in one JPEG, as telephones store a depth beside theirs, are no animation.
            is_animated = form != "JPEG" and getattr(image, "is_animated", False)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidField(name, f"The picture has more than {MOST_PIXELS} pixels.") from None
    except Exception:  # Pillow raises anything on hostile files
        raise _damaged(name, form) from None
    if is_animated:
        raise InvalidField(name, f"The {form} is an animation; a picture that stands still is needed.")
    if not 1 <= width * height <= MOST_PIXELS:
        raise InvalidField(name, f"The picture is {width}x{height}; it may have 1 to {MOST_PIXELS} pixels.")
    if form == "JPEG" and file.count(_START_OF_SCAN) > _MOST_SCANS:
        raise InvalidField(name, f"The JPEG has more than {_MOST_SCANS} scans.")
    return width * height


def _form(file: bytes, name: str) -> str:
    for form, beginning in _BEGINNINGS.items():
        if file.startswith(beginning) and (form != "WEBP" or file[8:12] == b"WEBP"):
            return form
    raise InvalidField(name, "The picture is no PNG, JPEG or WebP file.")


def _damaged(name: str, form: str) -> InvalidField:
    return InvalidField(name, f"The {form} can't be decoded: it is damaged, or ends too early.")


def _read(file: bytes, shape: ImageShape, name: str) -> tuple[NDArray[np.uint8], Size]:
    """uint8 [C, H, W], and the size that it had."""
    form = _form(file, name)
    try:
        with Image.open(io.BytesIO(file), formats=[form]) as image:
            orientation = _orientation(image)
            is_lying = orientation >= 5
            fitted = _fitted(_plain(image), *_upright(shape.width, shape.height, is_lying))
            width, height = _upright(*image.size, is_lying)
    except Exception:
        raise _damaged(name, form) from None
    if orientation > 1:
        fitted = fitted.transpose(_TURNS[orientation])
    if fitted.mode == "RGBA" and shape.channels < 4:
        fitted = Image.alpha_composite(Image.new("RGBA", fitted.size, "white"), fitted).convert("RGB")
    pixels = np.atleast_3d(np.asarray(fitted.convert(_MODES[shape.channels]))).transpose(2, 0, 1)
    return pixels, Size(height, width)


def _orientation(image: Image.Image) -> int:
    """EXIF's number, 1 to 8; 1 where it can't be read, which is no reason to refuse the picture."""
    with suppress(Exception):
        if (orientation := image.getexif().get(_ORIENTATION)) in _TURNS:
            return orientation
    return 1


def _upright(width: int, height: int, is_lying: bool) -> tuple[int, int]:
    return (height, width) if is_lying else (width, height)


def _plain(image: Image.Image) -> Image.Image:
    """Decoded, in mode L, RGB or RGBA."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion cuts off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """Its centre, in that size."""
    if image.size == (width, height):
        return image
    across, down = image.size
    # The larger part of both sides that has the aspect ratio.
    if across * height > down * width:
        across = max(1, round(down * width / height))
    else:
        down = max(1, round(across * height / width))
    left, top = (image.width - across) // 2, (image.height - down) // 2
    centre = image.crop((left, top, left + across, top + down))
    return centre.resize((width, height), Image.Resampling.LANCZOS)
