"""Images that belong together in an order: computed like any others, answered as a row, an animation, npy or JSON."""

from functools import partial
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.drawing import formats
from service.drawing.draw import Draw, picture, signed, xmp_of
from service.drawing.encoders import encoded
from service.drawing.formats import SeriesFormat
from service.drawing.sampler import JsonImage, JsonReply
from service.generator import images
from service.generator.origin import provenance

_NOT_DRAWN = ("model", "format", "quality", "timeout")


class Series(Struct):
    """What is drawn, with nothing left to decide.

    draw: its z is float32 [N, z_dim], as the generator takes it; its seeds are None.
    seeds: one an image, or None where an image is no seed's own.
    """

    draw: Draw
    seeds: list[int | None]


async def render(
    series: Series,
    format: SeriesFormat,
    deadline: float,
    frame_milliseconds: int,
    quality: int | None = None,
) -> bytes:
    """The images as bytes of `format`.

    Raises InvalidField for a row that is too wide for the format, before anything is queued; what `encoded` raises.
    """
    image, count = series.draw.model.contract.image, len(series.seeds)
    formats.check(format, quality, count, image.height, image.width, row=True)
    encode = partial(_encode, series, format, frame_milliseconds, quality)
    return await encoded(series.draw, deadline, format, count * image.width * image.height, encode)


def _encode(
    series: Series,
    format: SeriesFormat,
    frame_milliseconds: int,
    quality: int | None,
    pixels: NDArray[np.uint8],
) -> bytes:
    if format == "gif":
        xmp = xmp_of(series.draw, format)
        animation = images.gif(pixels, frame_milliseconds)
        return signed(series.draw, format, provenance.embed(animation, xmp) if xmp else animation)
    if format == "npy":
        return images.npy(pixels)
    if format == "json":
        return _encode_json(series, pixels)
    return picture(series.draw, format, images.strip(pixels), quality)


def request_of(route: str, request: Struct, **filled: Any) -> tuple[str, dict[str, Any]]:
    """The request that draws a series again, in any format: without what has its default, with what was `filled` in for it."""
    defaults = {one.name: one.default for one in msgspec.structs.fields(request)}
    given = {name: one for name, one in msgspec.to_builtins(request).items() if one != defaults[name]}
    return route, {name: one for name, one in given.items() if name not in _NOT_DRAWN} | filled


def _encode_json(series: Series, pixels: NDArray[np.uint8]) -> bytes:
    """Each image with its z, so that it can be asked for again."""
    model, z = series.draw.model, series.draw.z
    assert isinstance(z, np.ndarray)
    reply = [
        JsonImage(
            label=series.draw.class_of(i),
            seed=series.seeds[i],
            image=picture(series.draw.alone(i), "png", pixels[i]),
            z=z[i, : model.contract.z_dim].tolist(),
            text=series.draw.texts[i] if series.draw.texts else None,
        )
        for i in range(len(pixels))
    ]
    return msgspec.json.encode(JsonReply(model.name, model.version, reply))
