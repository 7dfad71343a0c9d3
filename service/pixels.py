"""Pixels of a draw -> an answer, made in a thread of its own: where that takes longer than the forward pass."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.errors import DeadlinePassed
from service.sampler import Draw

T = TypeVar("T")


async def encoded(draw: Draw, deadline: float, format: str, encode: Callable[[NDArray[np.uint8]], T]) -> T:
    """encode(the images of `draw`), called in a thread with uint8 [n, C, H, W].

    The thread of the pass would not do: that may be the event loop's. deadline: time.monotonic() seconds;
    format: what ganserve_encode_seconds calls it. Raises what Batcher.submit and `encode` raise; DeadlinePassed.
    """
    model = draw.model
    assert model.batcher is not None
    pixels = await model.batcher.submit(model.line, draw.z, draw.label, deadline, _as_they_are, draw.timing)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await asyncio.to_thread(_timed, draw, format, encode, pixels)
    except TimeoutError:
        metrics.dropped.labels("deadline").inc()
        raise DeadlinePassed("The deadline passed before the images were encoded.") from None


def _as_they_are(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def _timed(draw: Draw, format: str, encode: Callable[[NDArray[np.uint8]], T], pixels: NDArray[np.uint8]) -> T:
    begun = time.monotonic()
    answer = encode(pixels)
    draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, format).observe(draw.timing.encode_seconds)
    return answer
