"""Images that belong together in an order: computed like any others, answered as a row, an animation, npy or JSON."""

import asyncio
import time
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service import images, metrics
from service.errors import DeadlinePassed, InvalidField
from service.sampler import Draw, JsonImage, JsonReply

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

    Raises InvalidField for a row that is too wide for WebP, before anything is queued; what Batcher.submit raises.
    """
    draw = series.draw
    model = draw.model
    width = len(series.seeds) * model.contract.image.width
    if format == "webp" and width > _WEBP_PIXELS:
        raise InvalidField(
            "format",
            f"The row is {width} pixels wide; WebP has room for {_WEBP_PIXELS}: ask for another format.",
        )
    assert model.batcher is not None
    pixels = await model.batcher.submit(model.line, draw.z, draw.label, deadline, _as_they_are, draw.timing)
    # Not on the thread of the pass, which may be the event loop's: 256 frames take many times as long as a pass.
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await asyncio.to_thread(_encode_timed, series, pixels, format, frame_milliseconds)
    except TimeoutError:
        metrics.dropped.labels("deadline").inc()
        raise DeadlinePassed("The deadline passed before the images were encoded.") from None


def _as_they_are(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def _encode_timed(
    series: Series, pixels: NDArray[np.uint8], format: SeriesFormat, frame_milliseconds: int
) -> bytes:
    begun = time.monotonic()
    encoded = _encode(series, pixels, format, frame_milliseconds)
    series.draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, format).observe(series.draw.timing.encode_seconds)
    return encoded


def _encode(
    series: Series, pixels: NDArray[np.uint8], format: SeriesFormat, frame_milliseconds: int
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
