"""Pixels of a draw -> an answer, made in a thread of its own: where that takes longer than the forward pass."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.errors import DeadlinePassed, QueueFull
from service.sampler import Draw

T = TypeVar("T")

MOST_PIXELS = 64 * 2**20
"""Of answers under way, a worker: as PNGs some seconds of work, in memory some hundred MB."""

# Not asyncio's own threads, which /metrics needs; no more, because every one takes a core from the forward passes.
_encoders = ThreadPoolExecutor(2, "pixels")
_under_way = 0  # pixels; read and written on the event loop


async def encoded(
    draw: Draw, deadline: float, format: str, pixels: int, encode: Callable[[NDArray[np.uint8]], T]
) -> T:
    """encode(the images of `draw`), called in a thread with uint8 [n, C, H, W].

    The thread of the pass would not do: that may be the event loop's. deadline: time.monotonic() seconds;
    format: what ganserve_encode_seconds calls it; pixels: how many the answer has.
    Raises QueueFull before anything is queued; what Batcher.submit and `encode` raise; DeadlinePassed.
    """
    global _under_way
    if _under_way and _under_way + pixels > MOST_PIXELS:
        metrics.refused.labels("queue_full").inc()
        raise QueueFull(
            f"Answers of {_under_way} pixels are being made and {pixels} more would pass the limit of {MOST_PIXELS}.",
            retry_after_seconds=2,
        )
    _under_way += pixels
    try:
        return await _encoded(draw, deadline, format, encode)
    finally:
        _under_way -= pixels


async def _encoded(draw: Draw, deadline: float, format: str, encode: Callable[[NDArray[np.uint8]], T]) -> T:
    model = draw.model
    assert model.batcher is not None
    images = await model.batcher.submit(model.line, draw.z, draw.label, deadline, _as_they_are, draw.timing)
    work = asyncio.get_running_loop().run_in_executor(_encoders, _timed, draw, format, encode, images)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await work
    except TimeoutError:
        metrics.dropped.labels("deadline").inc()
        raise DeadlinePassed("The deadline passed before the images were encoded.") from None


def _as_they_are(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images


def _timed(draw: Draw, format: str, encode: Callable[[NDArray[np.uint8]], T], images: NDArray[np.uint8]) -> T:
    begun = time.monotonic()
    answer = encode(images)
    draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, format).observe(draw.timing.encode_seconds)
    return answer
