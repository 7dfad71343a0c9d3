"""Images that belong together in an order: computed like any others, answered as a row, an animation, npy or JSON."""

from functools import partial
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.drawing.encoders import encoded
from service.drawing.sampler import Draw, JsonImage, JsonReply
from service.errors import InvalidField
from service.generator import images

SeriesFormat = Literal["png", "webp", "gif", "npy", "json"]

MEDIA_TYPES = {**images.MEDIA_TYPES, "gif": "image/gif"}

_WEBP_PIXELS = 16383  # the widest WebP there can be


class Series(Struct):
    """What is drawn, with nothing left to decide.

    draw: its z is float32 [N, z_dim], as the generator takes it; its seeds are None.
    seeds: one an image, or None where an image is no seed's own.
    """

    draw: Draw
    seeds: list[int | None]


async def render(series: Series, format: SeriesFormat, deadline: float, frame_milliseconds: int) -> bytes:
    """The images as bytes of `format`.

    Raises InvalidField for a row that is too wide for WebP, before anything is queued; what `encoded` raises.
    """
    image = series.draw.model.contract.image
    width = len(series.seeds) * image.width
    if format == "webp" and width > _WEBP_PIXELS:
        raise InvalidField(
            "format",
            f"The row is {width} pixels wide; WebP has room for {_WEBP_PIXELS}: ask for another format.",
        )
    encode = partial(_encode, series, format, frame_milliseconds)
    return await encoded(series.draw, deadline, format, width * image.height, encode)


def _encode(
    series: Series, format: SeriesFormat, frame_milliseconds: int, pixels: NDArray[np.uint8]
) -> bytes:
    if format == "png":
        return images.png(images.strip(pixels))
    if format == "webp":
        return images.webp(images.strip(pixels))
    if format == "gif":
        return images.gif(pixels, frame_milliseconds)
    return images.npy(pixels) if format == "npy" else _encode_json(series, pixels)


def _encode_json(series: Series, pixels: NDArray[np.uint8]) -> bytes:
    """Each image with its z, so that it can be asked for again."""
    model, label = series.draw.model, series.draw.label
    z, classes = series.draw.z, model.contract.classes
    assert isinstance(z, np.ndarray)
    reply = [
        JsonImage(
            label=None if label is None or classes is None else classes[label[i]],
            seed=series.seeds[i],
            image=images.png(pixels[i]),
            z=z[i].tolist(),
        )
        for i in range(len(pixels))
    ]
    return msgspec.json.encode(JsonReply(model.name, model.version, reply))
