"""Sizes that pictures can be asked for in, beside the generator's own: its aspect ratio, and a longest side."""

import re
from math import gcd

from msgspec import Struct

from service.errors import InvalidField
from service.generator.contract import ImageShape

MOST_SIDE = 1024
MOST_RESIZED_PIXELS = 16 * MOST_SIDE**2
"""Of one reply: OpenAI's largest, ten of 1024x1024, and some more."""

_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})", re.ASCII)


class Size(Struct, frozen=True):
    """In pixels; text is WIDTHxHEIGHT."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def own(native: ImageShape) -> Size:
    return Size(native.height, native.width)


def exact(text: str, native: ImageShape) -> Size:
    """That size. Raises InvalidField where it is none that there is."""
    if str(found := nearest(text, native)) != text:
        raise InvalidField("size", f"size is {text}; {_allowed(native)}")
    return found


def nearest(text: str, native: ImageShape) -> Size:
    """The largest size that there is within the one asked for; the generator's own where none is.

    text: WIDTHxHEIGHT. Raises InvalidField for any other text.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidField("size", f"size is '{text[:64]}'; {_allowed(native)}")
    width, height = int(match[1]), int(match[2])
    if (height, width) == (native.height, native.width):
        return own(native)
    common = gcd(native.width, native.height)
    across, down = native.width // common, native.height // common
    times = min(width // across, height // down, MOST_SIDE // max(across, down))
    return Size(times * down, times * across) if times else own(native)


def _allowed(native: ImageShape) -> str:
    return f"allowed are auto, {own(native)}, and what has its aspect ratio and sides of at most {MOST_SIDE}, as WIDTHxHEIGHT."
