"""What images leave as: names, media types, quality, what a client's Accept header likes best, and how large one may be."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from service.errors import InvalidField
from service.generator import images
from service.generator.origin import provenance

Picture = Literal["png", "webp", "jpeg", "avif"]
Format = Literal["png", "webp", "jpeg", "avif", "npy", "json"]
SeriesFormat = Literal["png", "webp", "jpeg", "avif", "gif", "npy", "json"]

MEDIA_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "avif": "image/avif",
    "npy": "application/x-npy",
    "json": "application/json",
}
SERIES_MEDIA_TYPES = {**MEDIA_TYPES, "gif": "image/gif"}
BY_SUFFIX: dict[str, Picture] = {
    "png": "png",
    "webp": "webp",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "avif": "avif",
}

QUALITIES = {"jpeg": 90, "avif": 75}
"""Of the formats that have one, what it is where none is asked for."""
QUALITY = "Of `jpeg` (by default 90) and `avif` (75): 0 to 100, larger is nearer to the pixels. The others are lossless."
Percent = Annotated[int, Meta(ge=0, le=100)]
Quality = Annotated[Percent | None, Meta(description=QUALITY)]

_MOST_SIDE = {"webp": 16383, "jpeg": 65500, "avif": 32768, "gif": 65535}
"""Pixels, as the formats, libjpeg and libavif have it."""
_EFFORT = {"npy": 0, "webp": 5, "avif": 5, "gif": 2}

_WEIGHT = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)", re.ASCII | re.IGNORECASE)


def suffix(format: str) -> str:
    """Of an address."""
    return "jpg" if format == "jpeg" else format


def effort(format: str) -> int:
    """What a byte of pixels takes, in bytes of a PNG: 14 ns each, of a photograph of 512x512. 0: it is only copied."""
    return _EFFORT.get(format, 1)


def check(format: str, quality: int | None, count: int, height: int, width: int, row: bool = False) -> None:
    """Raises InvalidField for a format that this server's Pillow has not, a quality of a lossless one, and a picture
    that is larger than the format allows.

    count images of height x width are laid out in a grid, or in one row.
    """
    if quality is not None and format not in QUALITIES:
        raise InvalidField("quality", f"{format} has no quality: it is of {' and '.join(QUALITIES)}.")
    if format == "avif" and not images.has_avif():
        raise InvalidField(
            "format", "This server's Pillow was built without avif: ask for webp, jpeg or png."
        )
    if (most := _MOST_SIDE.get(format)) is None:
        return
    columns, rows = (count, 1) if row and format != "gif" else (images.columns_of(count),) * 2
    if format == "gif":
        columns = rows = 1
    if (side := max(columns * width, rows * height)) > most:
        raise InvalidField(
            "format",
            f"The picture is {side} pixels {'wide' if row else 'wide or high'}; {format} has room for {most}: ask for "
            "another format, or for less.",
        )


def picture(image: NDArray[np.uint8], format: str, quality: int | None = None, xmp: bytes = b"") -> bytes:
    """image: uint8 [C, H, W], C 1, 3 or 4. Returns the file of a format that `check` passes, with `xmp` in it."""
    quality = QUALITIES.get(format, 0) if quality is None else quality
    if format == "avif":
        return images.avif(image, quality, xmp)
    if format == "jpeg":
        plain = images.jpeg(image, quality)
    else:
        plain = images.png(image) if format == "png" else images.webp(image)
    return provenance.embed(plain, xmp) if xmp else plain


@lru_cache
def preferred(accept: str | None, among: Sequence[str] = tuple(MEDIA_TYPES)) -> str | None:
    """The format of `among` that an Accept header likes best (RFC 9110, 12.5.1); None where it says nothing of use.

    Of equals the one that the header names first, and of those that it does not tell apart the first of `among`.
    """
    wishes: list[tuple[float, int, str]] = []
    for part in (accept or "").lower().split(",")[:64]:
        name, *parameters = (one.strip() for one in part.split(";"))
        weights = [match for one in parameters if (match := _WEIGHT.fullmatch(one))]
        wishes.append((float(weights[0][1]) if weights else 1.0, len(wishes), name))
    refused = {name for weight, _, name in wishes if weight == 0}
    for weight, _, name in sorted(wishes, key=lambda wish: (-wish[0], wish[1])):
        if weight == 0 or name == "*/*":
            return None
        for format in among:
            kind = SERIES_MEDIA_TYPES[format]
            is_meant = name == kind or (
                name.endswith("/*") and kind.startswith(name[:-1]) and kind not in refused
            )
            if is_meant and (format != "avif" or images.has_avif()):
                return format
    return None
