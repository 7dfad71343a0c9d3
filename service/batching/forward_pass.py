"""One forward pass: pieces of requests -> z and labels -> images -> the answers of the requests that it completes."""

import time
from collections.abc import Callable
from math import ceil, isfinite
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Gauge

from service import metrics
from service.batching.request_queue import Piece, Request, RequestQueue, Ride
from service.errors import ModelBroke
from service.generator.engine import Passes
from service.generator.latents import rows_of

Outcome = tuple[Request, Any, BaseException | None]


class _Part:
    """One line's part of a gauge that all versions of a model share."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._value = 0

    def set(self, value: int) -> None:
        self._gauge.inc(value - self._value)
        self._value = value


class Line:
    """One version's place in a batcher: its engine, its queue, its metrics, and what it has had of the lanes."""

    def __init__(
        self,
        name: str,
        engine: Passes,
        queue: RequestQueue,
        pass_seconds: float,
        version: str = "",
        counts_as: int = 1,
    ) -> None:
        """pass_seconds: what a pass of queue.max_batch images takes; infinite where that was not measured.

        counts_as: what an image is where those that are accepted are counted; a large one is several."""
        self.name = name
        self.version = version
        self.counts_as = counts_as
        self.engine = engine
        self.lanes = len(engine.lanes)
        self.free_lanes = list(range(self.lanes))
        """Of the engine's, those that no pass is on; a heap, because a lone pass may need the first (engine.py)."""
        self.pass_seconds = pass_seconds
        self.full_pass_seconds = pass_seconds if isfinite(pass_seconds) else 0.0
        """The same as it turns out under load, encoding included; 0: not known yet."""
        self.turn = 0.0
        """Seconds on the lanes that it was charged for; whoever has least is next (start-time fair queueing)."""
        self.shape: tuple[int, ...] | None = None
        """Of what a pass gives for each row, to which it is held: (C, H, W) of an image; None: whatever the engine gives."""
        self.dtype: type[np.generic] = np.uint8
        """The same of its type."""
        self.on_broken: Callable[[str], None] | None = None
        """Called on the event loop when a pass gave something else, with what."""
        self.queue = queue
        self.queue_images = _Part(metrics.queue_images.labels(name))
        self.queue_seconds = metrics.queue_seconds.labels(name)
        self.forward_seconds = metrics.forward_seconds.labels(name)
        self.forward_passes = metrics.forward_passes.labels(name)
        self.batch_images = metrics.batch_images.labels(name)
        self.images = metrics.images.labels(name)
        self.answered = metrics.version_requests.labels(name, version, "answered")
        self.version_seconds = metrics.version_seconds.labels(name, version)

    def count(self, outcome: str) -> None:
        """A request that was accepted was not answered: `failed`, `deadline` or `disconnect`."""
        metrics.version_requests.labels(self.name, self.version, outcome).inc()

    @property
    def piece_seconds(self) -> float:
        """What a pass of the most images that one request may have in it takes."""
        return self.pass_seconds * self.queue.max_piece / self.queue.max_batch

    def images_within(self, seconds: float) -> int:
        """How many a pass of so many seconds may have; one at least."""
        if self.pass_seconds <= seconds or not isfinite(self.pass_seconds):
            return self.queue.max_batch
        return max(1, int(self.queue.max_batch * seconds / self.pass_seconds))

    def charge(self, seconds: float) -> None:
        self.turn += seconds

    def learn(self, images: int, seconds: float) -> None:
        """What a pass of so many images took: an average over some 20 full ones."""
        if not self.full_pass_seconds:
            self.full_pass_seconds = seconds
        elif images == self.queue.max_batch or not isfinite(self.pass_seconds):
            self.full_pass_seconds += 0.05 * (seconds - self.full_pass_seconds)

    def lane_seconds(self, n: int) -> float:
        """What a lane needs for that part of the waiting work that comes before a new request for n images has had all its turns."""
        queue = self.queue
        rounds = ceil(n / queue.max_piece)
        images = min(queue.waiting_images, len(queue) * rounds * queue.max_piece)
        return ceil(images / queue.max_batch) * self.full_pass_seconds


class Pass(NamedTuple):
    """One that runs now."""

    model: str
    began: float
    """time.monotonic() seconds."""


class Work(NamedTuple):
    """A pass to run, and the engine's lane to run it on."""

    line: Line
    pieces: list[Piece]
    lane: int
    alone: bool
    """No other pass runs, and nothing else waits."""
    charged_seconds: float
    """What the line was charged for it in advance."""


def compute(line: Line, pieces: list[Piece], forward: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    """The images of one pass. Raises whatever the engine raises, and ModelBroke if it gave something else than the line's."""
    begun_at = time.monotonic()
    z, label = _join(pieces)
    images = forward(z, label)
    ended_at = time.monotonic()
    want = (len(z), *(line.shape or images.shape[1:]))
    if images.shape != want or images.dtype != line.dtype:
        raise ModelBroke(
            f"Model {line.name} gave {images.dtype} {images.shape} in a pass, not {line.dtype.__name__} {want}."
        )
    line.forward_passes.inc()
    line.forward_seconds.observe(ended_at - begun_at)
    line.batch_images.observe(len(images))
    ride = Ride(begun_at, ended_at, len(images))
    for piece in pieces:
        piece.request.timing.ride = ride
    return images


def hand_out(pieces: list[Piece], images: NDArray[Any], lock: Lock) -> list[Request]:
    """Give requests their images. Returns those that have all of them now.

    lock: held where two passes may bring pieces of one request.
    """
    ended_at = time.monotonic()
    done = []
    offset = 0
    for piece in pieces:
        request, size = piece.request, piece.stop - piece.start
        part = images[offset : offset + size]
        offset += size
        request.timing.forward_seconds = ended_at - request.begun_at
        if size == request.n:
            request.images = part
            done.append(request)
            continue
        with lock:  # two lanes may bring pieces of one request
            if request.images is None:
                request.images = np.empty((request.n, *part.shape[1:]), part.dtype)
        request.images[piece.start : piece.stop] = part
        with lock:
            request.computed += size
            if request.computed == request.n:
                done.append(request)
    return done


def _join(pieces: list[Piece]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    z = rows_of([piece.z for piece in pieces])
    labels = [
        label
        for piece in pieces
        if piece.request.label is not None
        for label in piece.request.label[piece.start : piece.stop]
    ]
    return z, np.array(labels, np.int64) if labels else None


def finish(line: Line, requests: list[Request]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    line.images.inc(sum(request.n for request in requests))
    for request in requests:
        try:
            line.queue_seconds.observe(request.timing.queue_seconds)
            assert request.images is not None
            outcomes.append((request, request.finish(request.images), None))
        except Exception as error:
            outcomes.append((request, None, error))
    return outcomes
