"""Merges whatever waits into single forward passes: one batcher a device, one queue a model.

Work-conserving: an idle lane starts at once on what is there, and while all lanes run, arrivals queue;
there is no timer, so a lone request never waits. Knows nothing of HTTP or BentoML.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.engines.engine import Engine
from service.errors import DeadlinePassed, Draining, EngineFailed, QueueFull
from service.latents import Seeded, rows_of
from service.request_queue import Piece, Request, RequestQueue

log = logging.getLogger("bentoml.ganserve.batcher")

Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


class Line:
    """One model's place in a batcher: its engine, its queue, its metrics."""

    def __init__(self, name: str, engine: Engine, max_batch: int) -> None:
        self.name = name
        self.engine = engine
        self.queue = RequestQueue(max_batch)
        self.queue_images = metrics.queue_images.labels(name)
        self.queue_seconds = metrics.queue_seconds.labels(name)
        self.forward_seconds = metrics.forward_seconds.labels(name)
        self.forward_passes = metrics.forward_passes.labels(name)
        self.batch_images = metrics.batch_images.labels(name)
        self.images = metrics.images.labels(name)


class Batcher:
    """The lanes of one device, fair between models: lanes take the models that have work in turn."""

    def __init__(self, lanes: int, max_queue_images: int, encode_threads: int = 0) -> None:
        """encode_threads: threads that turn pixels into answers; 0 where a lane is a core anyway, and does it."""
        self.max_queue_images = max_queue_images
        self.accepted_images = 0
        """Images accepted and not yet answered."""
        self._turn: deque[Line] = deque()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._running = 0
        self._closing = False
        self._images_per_second = 0.0
        self._failures = itertools.count(1)
        self._encoders = ThreadPoolExecutor(encode_threads, "encode") if encode_threads else None
        self._lanes = [
            threading.Thread(target=self._run_lane, args=(lane,), name=f"lane-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._lanes:
            thread.start()

    def add(self, name: str, engine: Engine, max_batch: int) -> Line:
        """A line for `engine`, which must have at least as many lanes as this batcher."""
        if len(engine.lanes) < len(self._lanes):
            raise ValueError(
                f"{name}: {len(engine.lanes)} lanes, the batcher has {len(self._lanes)}: this is a bug"
            )
        line = Line(name, engine, max_batch)
        with self._lock:
            self._turn.append(line)
        return line

    async def submit(
        self,
        line: Line,
        z: NDArray[np.float32] | Seeded,
        label: NDArray[np.int64] | None,
        deadline: float,
        finish: Callable[[NDArray[np.uint8]], Any],
    ) -> Any:
        """finish(images of these latents), whichever batches their pieces travel in.

        z: float32 [n, z_dim], finite, or the seeds of it; label: int64 [n], in range, or None; deadline: time.monotonic() seconds.
        finish: called with uint8 [n, C, H, W], in the order asked, on a thread that may block.
        Raises QueueFull or Draining before anything is queued; DeadlinePassed; EngineFailed, to the
        requests of that forward pass only; whatever `finish` raises. Cancelling drops what has not begun.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        now = time.monotonic()
        request = Request(z, label, deadline, now, finish, future)
        n = request.n
        with self._lock:
            self._admit(n, deadline, now)
            self.accepted_images += n
            line.queue.append(request)
            line.queue_images.set(line.queue.waiting_images)
            self._work.notify()
        timer = loop.call_later(deadline - now, _settle_here, [(future, None, DeadlinePassed(_TOO_LATE))])
        try:
            return await future
        except asyncio.CancelledError:
            metrics.dropped.labels("disconnect").inc()
            raise
        except DeadlinePassed:
            metrics.dropped.labels("deadline").inc()
            raise
        finally:
            timer.cancel()
            with self._lock:
                self.accepted_images -= n
                if line.queue.discard(request):
                    line.queue_images.set(line.queue.waiting_images)

    def drain(self) -> None:
        """Refuse new work; what was accepted is still answered."""
        with self._lock:
            self._closing = True
            self._work.notify_all()

    def close(self) -> None:
        """Drain, and wait for the lanes and encoders to end."""
        self.drain()
        for thread in self._lanes:
            thread.join()
        if self._encoders:
            self._encoders.shutdown()

    def _admit(self, n: int, deadline: float, now: float) -> None:
        if self._closing:
            metrics.refused.labels("draining").inc()
            raise Draining("The service is shutting down; try another replica.")
        if deadline <= now:
            metrics.refused.labels("deadline").inc()
            raise DeadlinePassed(_TOO_LATE)
        if self.accepted_images + n > self.max_queue_images:
            metrics.refused.labels("queue_full").inc()
            seconds = ceil(self.accepted_images / self._images_per_second) if self._images_per_second else 1
            raise QueueFull(
                f"{self.accepted_images} images are waiting and {n} more would pass the limit of {self.max_queue_images}.",
                retry_after_seconds=min(60, max(1, seconds)),
            )

    def _run_lane(self, lane: int) -> None:
        while True:
            with self._work:
                while (work := self._next_work()) is None:
                    if self._closing:
                        return
                    self._work.wait()
                line, pieces = work
                self._running += 1
                alone = self._running == 1 and not any(other.queue for other in self._turn)
            try:
                self._run_pass(line, pieces, lane, alone)
            except Exception as error:  # whatever it is, a lane must not end and leave its requests waiting
                self._fail(line, pieces, error)
            finally:
                with self._lock:
                    self._running -= 1

    def _next_work(self) -> tuple[Line, list[Piece]] | None:
        """The next batch of the next model in turn. The lock is held."""
        now = time.monotonic()
        for _ in range(len(self._turn)):
            line = self._turn[0]
            self._turn.rotate(-1)
            if not line.queue:
                continue
            pieces, expired = line.queue.next_batch(now)
            line.queue_images.set(line.queue.waiting_images)
            if expired:
                _settle([(request.future, None, DeadlinePassed(_TOO_LATE)) for request in expired])
            if pieces:
                for piece in pieces:
                    if piece.start == 0:
                        piece.request.begun_at = now
                return line, pieces
        return None

    def _run_pass(self, line: Line, pieces: list[Piece], lane: int, alone: bool) -> None:
        begun_at = time.monotonic()
        z, label = _join(pieces)
        forward = line.engine.wide if alone else line.engine.lanes[lane]
        images = forward(z, label)
        seconds = time.monotonic() - begun_at
        if len(images) != len(z):
            raise RuntimeError(f"the engine gave {len(images)} images for {len(z)} latents")
        line.forward_passes.inc()
        line.forward_seconds.observe(seconds)
        line.batch_images.observe(len(images))
        done = []
        offset = 0
        for piece in pieces:
            request, size = piece.request, piece.stop - piece.start
            part = images[offset : offset + size]
            offset += size
            if size == request.n:
                request.images = part
            else:
                with self._lock:  # two lanes may bring the first pieces of one request
                    if request.images is None:
                        request.images = np.empty((request.n, *part.shape[1:]), np.uint8)
                request.images[piece.start : piece.stop] = part
            with self._lock:
                request.computed += size
                complete = request.computed == request.n
            if complete:
                done.append(request)
        # An average over some 20 passes of a lane, for Retry-After.
        rate = len(images) * len(self._lanes) / max(seconds, 1e-6)
        self._images_per_second += (
            0.05 * (rate - self._images_per_second) if self._images_per_second else rate
        )
        if not done:
            return
        if self._encoders:
            self._encoders.submit(_finish, line, done)
        else:
            _finish(line, done)

    def _fail(self, line: Line, pieces: list[Piece], error: Exception) -> None:
        number = next(self._failures)
        log.error(
            "forward pass failed (failure %d of this worker, model %s)", number, line.name, exc_info=error
        )
        with self._lock:
            for piece in pieces:
                line.queue.discard(piece.request)
            line.queue_images.set(line.queue.waiting_images)
        metrics.dropped.labels("engine_failed").inc(len({id(piece.request) for piece in pieces}))
        text = f"The forward pass failed; the server's log has the cause as failure {number}."
        _settle([(piece.request.future, None, EngineFailed(text)) for piece in pieces])


_TOO_LATE = "The deadline passed before the images were ready."


def _join(pieces: list[Piece]) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    z = rows_of([piece.request.z[piece.start : piece.stop] for piece in pieces])
    labels = [p.request.label[p.start : p.stop] for p in pieces if p.request.label is not None]
    return z, np.concatenate(labels) if labels else None


def _finish(line: Line, requests: list[Request]) -> None:
    outcomes: list[Outcome] = []
    for request in requests:
        try:
            line.queue_seconds.observe(request.begun_at - request.accepted_at)
            line.images.inc(request.n)
            assert request.images is not None
            outcomes.append((request.future, request.finish(request.images), None))
        except Exception as error:
            outcomes.append((request.future, None, error))
    _settle(outcomes)


def _settle(outcomes: Sequence[Outcome]) -> None:
    """Tell the event loop: once for all, because each time wakes it."""
    try:
        outcomes[0][0].get_loop().call_soon_threadsafe(_settle_here, outcomes)
    except RuntimeError:
        log.debug("answers came after the event loop had closed")


def _settle_here(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # cancelled, or past its deadline
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
