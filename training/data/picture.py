"""One encoded picture -> bytes of grey or RGB; what that changes is noted, and nothing is lost without a word."""

import io
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.data.dataset import Pixels, misfit
from training.data.levels import span, to_bytes
from training.data.notes import Notes

# Those that Pillow decodes by itself: no program is started, as for EPS, and none is only known by name.
FORMATS = (
    "PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "TGA", "AVIF", "JPEG2000", "QOI", "PCX", "ICO",
)  # fmt: skip
SUFFIXES = {suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS}
DEEP = {"I": "integer grey", "F": "floating-point grey"}
DEEP |= dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), "16-bit grey")
DEEP_COLOUR = "16-bit colour"
_ORIENTATION = 0x0112
_STRIP = 256
# What one level of the colour that is to be transparent is worth in the 8 bits that Pillow makes of others.
_KEY_LEVELS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
_ON_WHITE = "with transparency, laid on white"


class Unfit(ValueError):
    """What is the matter with a picture, and mostly with others: what to do about them all."""


class Reader:
    """size: crop to a centred square of this side, if given. again: the contents of all pictures, once more."""

    def __init__(self, size: int | None, notes: Notes, again: Iterable[bytes]) -> None:
        self.size, self.notes, self._again = size, notes, again
        self._spans: dict[str, tuple[float, float]] | None = None

    def read(self, name: str, content: bytes) -> Pixels:
        """uint8 [1, H, W] for a grey picture, [3, H, W] for any other. Raises whatever Pillow does on damaged files."""
        # What is noted of a picture that then turns out to be damaged is not said.
        found = Notes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if self.size is None and misfit(*opened.size):
                # Refused for its size, which is told without a look at 100 million pixels.
                return np.broadcast_to(np.uint8(0), (1, opened.height, opened.width))
            if getattr(opened, "is_animated", False):
                found.noted("with several frames, of which the first is read", name)
            kind, colour = depth(opened), opened.mode not in ("L", "LA")
            if kind and self._spans is None:
                # Before the pixels of this one are there, too.
                self._spans = spans(self._again)
            key, worth = opened.info.get("transparency"), _KEY_LEVELS.get(raw_mode(opened))
            if key is not None and worth:
                levels = np.multiply(key, worth).astype(int).tolist()
                opened.info["transparency"] = tuple(levels) if isinstance(key, tuple) else levels
            if opened.getexif().get(_ORIENTATION, 1) != 1:
                # Telephones store pictures lying down, with a note which way is up.
                found.noted("turned upright, as their EXIF says", name)
            # A copy of a large scan takes half a gigabyte: here and below there is none without need.
            ImageOps.exif_transpose(opened, in_place=True)
            picture: Image.Image = opened
            if kind:
                picture = self._shallow(picture, kind, name, found)
            picture = flattened(picture, name, found)
        if self.size is not None:
            picture = fitted(picture, self.size, name, found)
        pixels = np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)
        if len(pixels) == 3 and (pixels == pixels[:1]).all():
            # An "L" got its colours from us, to lie on white.
            if colour:
                found.noted("grey, though stored as colour", name)
            pixels = pixels[:1]
        self.notes.join(found)
        return pixels

    def _shallow(self, picture: Image.Image, kind: str, name: str, found: Notes) -> Image.Image:
        """A picture of more than 8 bits in 8, by the range that all pictures of its kind have together."""
        black, white = (self._spans or {}).get(kind, (0.0, 0.0))
        if kind == DEEP_COLOUR:
            # Pillow keeps the upper byte only.
            if white < 128:
                raise Unfit(f"16-bit colour that ends at {white:.0f} of 255 levels: store it in 8 bits")
            found.noted("16-bit colour, read in 8 bits", name)
            return picture
        out, key, is_clear = Image.new("L", picture.size), picture.info.get("transparency"), False
        for top, strip in strips(picture):
            if not np.isfinite(pixels := np.asarray(strip)).all():
                raise Unfit("NaN or infinite pixels")
            grey = to_bytes(pixels, black, white)
            if key is not None and (clear := pixels == key).any():
                grey[clear], is_clear = 255, True
            out.paste(Image.fromarray(grey), (0, top))
        if is_clear:
            found.noted(_ON_WHITE, name)
        found.noted(f"{kind}, of which {black:,.10g} is black and {white:,.10g} white", name)
        return out


def depth(opened: Image.Image) -> str:
    """The kind of a picture of more than 8 bits; empty for others."""
    return DEEP.get(opened.mode) or (DEEP_COLOUR if ";16" in raw_mode(opened) else "")


def raw_mode(opened: Image.Image) -> str:
    """As the file has its pixels: `L;4`, `RGB;16B`."""
    tiles = getattr(opened, "tile", ())
    tile = tiles[0].args if tiles else ""
    return tile if isinstance(tile, str) else str(tile[0]) if tile else ""


def spans(contents: Iterable[bytes]) -> dict[str, tuple[float, float]]:
    """What is black and what is white in pictures of each deep kind, over all of them."""
    found: dict[str, tuple[float, float]] = {}
    for content in contents:
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                if kind := depth(opened):
                    ends = np.array([extrema(np.asarray(strip)) for _, strip in strips(opened)])
                    if np.isfinite(ends).all():  # a NaN among the pixels is one among the ends
                        found[kind] = extrema(np.append(ends, found.get(kind, ())))
        except Exception:  # damaged: it is noted where it is read
            continue
    return {
        kind: ends if kind == DEEP_COLOUR else span(*ends, whole="floating" not in kind)
        for kind, ends in found.items()
    }


def extrema(pixels: NDArray) -> tuple[float, float]:
    return float(pixels.min()), float(pixels.max())


def flattened(picture: Image.Image, name: str, found: Notes) -> Image.Image:
    """Mode L for grey, RGB for anything else; what is transparent lies on white."""
    if picture.mode == "1":
        found.noted("of black and white alone", name)
    elif picture.mode in ("P", "PA"):
        found.noted("with a palette, turned to colour", name)
    elif picture.mode not in ("L", "LA", "RGB", "RGBA"):
        found.noted(f"{picture.mode}, turned to RGB", name)
    if picture.has_transparency_data:
        picture = in_mode(picture, "RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            found.noted(_ON_WHITE, name)
        return on_white(picture)
    return in_mode(picture, "L" if picture.mode in ("1", "L") else "RGB")


def in_mode(picture: Image.Image, mode: str) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)


def on_white(picture: Image.Image) -> Image.Image:
    """RGBA -> RGB."""
    out = Image.new("RGB", picture.size)
    for top, strip in strips(picture):
        white = Image.new("RGBA", strip.size, "white")
        out.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return out


def strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """From the top, each with the row that it begins at: what is made of a whole scan is several times as large as it."""
    for top in range(0, picture.height, _STRIP):
        yield top, picture.crop((0, top, picture.width, min(top + _STRIP, picture.height)))


def fitted(picture: Image.Image, size: int, name: str, found: Notes) -> Image.Image:
    """The centred square, size pixels a side."""
    if picture.size == (size, size):
        return picture
    side = min(picture.size)
    if picture.width != picture.height:
        found.noted("cropped to their centred square", name)
    if side < size:
        found.noted(f"smaller than {size}x{size}, enlarged", name)
    if picture.width != picture.height:
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    # Lanczos averages as it shrinks; sampling instead would alias, and G would learn the aliases.
    return picture.resize((size, size), Image.Resampling.LANCZOS)
