"""Pixels of a draw -> an answer, made in a thread of its own: where that takes longer than the forward pass."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.drawing.draw import Draw
from service.errors import DeadlinePassed, QueueFull
from service.machine.hardware import available_cpus

T = TypeVar("T")

LARGE_PIXELS = 2**18
"""An answer of more takes a tenth of a second and longer."""


@dataclass
class Encoders:
    """Threads that make answers, and how many pixels of them may be under way in a worker."""

    threads: ThreadPoolExecutor
    most_pixels: int
    pixels: int = 0  # read and written on the event loop

    @contextmanager
    def reserved(self, pixels: int) -> Iterator[None]:
        """One answer alone may be of any size. Raises QueueFull."""
        if self.pixels and self.pixels + pixels > self.most_pixels:
            metrics.refused.labels("queue_full").inc()
            raise QueueFull(
                f"Answers of {self.pixels} pixels are being made, and {pixels} more would pass the limit of "
                f"{self.most_pixels}.",
                retry_after_seconds=2,
            )
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels


# Not asyncio's own threads, which others need. Large answers neither hold up small ones, nor take every core
# from the forward passes. The limits are two seconds of work on one core as PNG, twenty as WebP.
SMALL = Encoders(ThreadPoolExecutor(2, "pixels"), 16 * 2**20)
LARGE = Encoders(ThreadPoolExecutor(max(1, available_cpus() // 4), "large-pixels"), 32 * 2**20)


async def encoded(
    draw: Draw, deadline: float, format: str, pixels: int, encode: Callable[[NDArray[np.uint8]], T]
) -> T:
    """encode(the images of `draw`), called in a thread with uint8 [n, C, H, W].

    The thread of the pass would not do: that may be the event loop's. deadline: time.monotonic() seconds;
    format: what ganserve_encode_seconds calls it; pixels: how many the answer has.
    Raises QueueFull before anything is queued; what Batcher.submit and `encode` raise; DeadlinePassed.
    """
    model = draw.model
    encoders = LARGE if pixels > LARGE_PIXELS else SMALL
    with encoders.reserved(pixels):
        images = await model.batcher.submit(
            model.line, draw.z, draw.label, deadline, _as_they_are, draw.timing, effort=0
        )
        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(encoders.threads, _timed, draw, format, encode, images)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await answer
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
