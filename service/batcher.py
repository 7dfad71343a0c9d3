"""Merges whatever waits into single forward passes: one batcher a device, one queue a model.

Work-conserving: an idle lane starts at once on what is there, and while all lanes run, arrivals queue;
there is no timer, so a lone request never waits. Where every model is quick, the event loop's own thread
is one of the lanes: waking another thread, and getting the interpreter's lock back from it, would take
longer than the pass. Knows nothing of HTTP or BentoML.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.engines.engine import Engine
from service.errors import DeadlinePassed, Draining, EngineFailed, QueueFull
from service.forward_pass import Line, Outcome, compute, finish
from service.latents import Seeded
from service.request_queue import Piece, Request, Settle, Timing

log = logging.getLogger("bentoml.ganserve.batcher")

QUICK_SECONDS = 0.015  # a full pass that takes no longer may hold up the event loop
MOST_TURNS = 64  # that a pass on the event loop gives way for, so that nobody's new connections can starve it
WAKING_SECONDS = 0.001  # a pass that takes less is over before another thread, woken for it, has begun


class Batcher:
    """The lanes of one device, fair between models: lanes take the models that have work in turn.

    A lane is the right to run one pass; whoever runs it, a thread or the event loop, holds it meanwhile.
    """

    def __init__(self, lanes: int, max_queue_images: int, encode_threads: int = 0) -> None:
        """encode_threads: threads that turn pixels into answers; 0 where a lane is a core anyway, and does it."""
        self.max_queue_images = max_queue_images
        self.accepted_images = 0
        """Images accepted and not yet answered."""
        self._turn: deque[Line] = deque()
        self._ending: set[Line] = set()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._lanes = lanes
        self._free_lanes = list(range(lanes))
        self._loop_is_lane = False
        self._loop_is_alone = False
        self._loop_in_pass = False
        self._pass_is_due = False
        self._gives_way = False
        self._turns_given = 0
        self._closing = False
        self._images_per_second = 0.0
        self._failures = itertools.count(1)
        self._accepted: dict[Request, Line] = {}
        self._next_deadline = inf
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._encoders = ThreadPoolExecutor(encode_threads, "encode") if encode_threads else None
        self._threads = [
            threading.Thread(target=self._run_thread, name=f"lane-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

    def add(
        self,
        name: str,
        engine: Engine,
        max_batch: int,
        pass_seconds: float = inf,
        max_piece: int | None = None,
        version: str = "",
    ) -> Line:
        """A line for `engine`, which must have at least as many lanes as this batcher.

        name, version: whose it is, for metrics. max_piece: most images of one request in a pass; max_batch, if it is not given.
        pass_seconds: what a pass of max_batch images takes on one lane.
        """
        if len(engine.lanes) < self._lanes:
            raise ValueError(
                f"{name}: {len(engine.lanes)} lanes, the batcher has {self._lanes}: this is a bug"
            )
        line = Line(name, engine, max_batch, max_piece or max_batch, pass_seconds, version)
        with self._lock:
            self._turn.append(line)
            self._choose_lanes()
        return line

    def remove(self, line: Line) -> None:
        """Let go of a line that gets no more requests, once all that it got have ended. On the event loop."""
        self._ending.add(line)
        self._remove_if_idle(line)

    async def submit(
        self,
        line: Line,
        z: NDArray[np.float32] | Seeded,
        label: Sequence[int] | None,
        deadline: float,
        finish: Callable[[NDArray[np.uint8]], Any],
        timing: Timing | None = None,
    ) -> Any:
        """finish(images of these latents), whichever batches their pieces travel in.

        z: float32 [n, z_dim], finite, or the seeds of it; label: n classes, in range, or None; deadline: time.monotonic() seconds.
        finish: called with uint8 [n, C, H, W], in the order asked, on whichever thread ran the last pass.
        timing: is filled in.
        Raises QueueFull or Draining before anything is queued; DeadlinePassed; EngineFailed, to the
        requests of that forward pass only; whatever `finish` raises. Cancelling drops what has not begun.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(answer: Any, error: BaseException | None) -> None:
            if future.done():  # its task was cancelled, and has not run yet
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        request = self.enqueue(line, z, label, deadline, finish, settle, timing)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancel(request)
            raise

    def enqueue(
        self,
        line: Line,
        z: NDArray[np.float32] | Seeded,
        label: Sequence[int] | None,
        deadline: float,
        finish: Callable[[NDArray[np.uint8]], Any],
        settle: Settle,
        timing: Timing | None = None,
    ) -> Request:
        """As `submit`, for callers on the event loop that need no task to wait in.

        Raises QueueFull, Draining or DeadlinePassed before anything is queued; every other outcome is `settle`d.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        request = Request(z, label, deadline, now, finish, loop, settle, timing or Timing())
        n = request.n
        self._admit(n, deadline, now)
        self.accepted_images += n
        self._accepted[request] = line
        if deadline < self._next_deadline:
            self._watch_deadline(loop, deadline, now)
        with self._lock:
            line.queue.append(request)
            line.queue_images.set(line.queue.waiting_images)
            if not self._loop_is_lane:
                self._work.notify()
        if self._loop_is_lane and not self._pass_is_due:
            self._pass_is_due = True
            loop.call_soon(self._run_here, loop)  # after all that has arrived has been read
        return request

    def cancel(self, request: Request) -> None:
        """Nobody waits for it any more: drop what has not begun, and settle nothing. On the event loop."""
        if request in self._accepted:
            metrics.dropped.labels("disconnect").inc()
            self._accepted[request].count("disconnect")
            self._leave(request)

    def give_way(self) -> None:
        """Let the event loop turn once more before its next pass."""
        self._gives_way = True

    def drain(self) -> None:
        """Refuse new work; what was accepted is still answered."""
        with self._lock:
            self._closing = True
            self._work.notify_all()

    def close(self) -> None:
        """Drain, and wait for the threads to end."""
        self.drain()
        for thread in self._threads:
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

    def _choose_lanes(self) -> None:
        """Whether the event loop's thread runs passes, and whether it alone does. The lock is held."""
        slowest = max((line.pass_seconds for line in self._turn), default=inf)
        self._loop_is_lane = not self._encoders and slowest <= QUICK_SECONDS
        self._loop_is_alone = self._loop_is_lane and slowest < WAKING_SECONDS
        self._work.notify_all()

    def _remove_if_idle(self, line: Line) -> None:
        if line in self._accepted.values():
            return
        self._ending.remove(line)
        with self._lock:
            self._turn.remove(line)
            self._choose_lanes()
        # What was left to the threads may be the event loop's work from now on.
        if self._loop_is_lane and self._accepted and not self._pass_is_due:
            self._pass_is_due = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._run_here, loop)

    def _leave(self, request: Request) -> Line | None:
        """Take it off the books; None if it was off already. On the event loop, as all that reads them."""
        line = self._accepted.pop(request, None)
        if line is None:
            return None
        self.accepted_images -= request.n
        if request.begun < request.n:
            with self._lock:
                if line.queue.discard(request):
                    line.queue_images.set(line.queue.waiting_images)
        if not self._accepted and self._deadline_timer:
            self._deadline_timer.cancel()
            self._next_deadline = inf
        if line in self._ending:
            self._remove_if_idle(line)
        return line

    def _settle_here(self, outcomes: Sequence[Outcome]) -> None:
        for request, answer, error in outcomes:
            line = self._leave(request)
            if line is None:  # cancelled, or past its deadline
                continue
            if error is None:
                line.answered.inc()
                line.version_seconds.observe(time.monotonic() - request.accepted_at)
            elif isinstance(error, DeadlinePassed):
                metrics.dropped.labels("deadline").inc()
                line.count("deadline")
            else:
                line.count("failed")
            try:
                request.settle(answer, error)
            except Exception:
                log.exception("an answer could not be handed over")

    def _watch_deadline(self, loop: asyncio.AbstractEventLoop, deadline: float, now: float) -> None:
        """One timer for all requests: it is armed for the nearest deadline, and mostly finds it met."""
        if self._deadline_timer:
            self._deadline_timer.cancel()
        self._next_deadline = deadline
        self._deadline_timer = loop.call_later(deadline - now, self._check_deadlines, loop)

    def _check_deadlines(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic() + 0.001  # the event loop's clock ticks in milliseconds
        self._settle_here(
            [(one, None, DeadlinePassed(_TOO_LATE)) for one in self._accepted if one.deadline <= now]
        )
        if self._accepted:
            self._watch_deadline(loop, min(one.deadline for one in self._accepted), now)

    def _run_thread(self) -> None:
        while True:
            with self._work:
                while self._loop_is_alone or (work := self._take(self._kept_lanes())) is None:
                    if self._closing:
                        return
                    self._work.wait()
            line, pieces, lane, alone = work
            self._run_pass(line, pieces, lane, alone, self._settle_there)
            with self._lock:
                self._free_lanes.append(lane)
            del work, line, pieces  # an idle thread would keep a retired engine in memory

    def _kept_lanes(self) -> int:
        """Lanes that threads leave to the event loop."""
        return int(self._loop_is_lane and not self._loop_in_pass)

    def _run_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """One pass on the event loop's own thread; what is left goes to the others, or waits for the next."""
        if self._gives_way and self._turns_given < MOST_TURNS:
            self._gives_way = False
            self._turns_given += 1
            loop.call_soon(self._run_here, loop)
            return
        self._pass_is_due = self._gives_way = False
        self._turns_given = 0
        with self._lock:
            work = self._take(kept=0) if self._loop_is_lane else None
            if not self._loop_is_alone and any(line.queue for line in self._turn):
                self._work.notify()
            if work is None:
                return
            self._loop_in_pass = True
        line, pieces, lane, _ = work
        self._run_pass(line, pieces, lane, False, self._settle_here)
        with self._lock:
            self._loop_in_pass = False
            self._free_lanes.append(lane)
            if any(line.queue for line in self._turn) and not self._pass_is_due:
                self._pass_is_due = True
                loop.call_soon(self._run_here, loop)

    def _take(self, kept: int) -> tuple[Line, list[Piece], int, bool] | None:
        """The next batch of the next model in turn, and a lane, if more than `kept` are free. The lock is held."""
        if len(self._free_lanes) <= kept:
            return None
        now = time.monotonic()
        for _ in range(len(self._turn)):
            line = self._turn[0]
            self._turn.rotate(-1)
            if not line.queue:
                continue
            pieces, expired = line.queue.next_batch(now)
            line.queue_images.set(line.queue.waiting_images)
            if expired:
                self._settle_there([(request, None, DeadlinePassed(_TOO_LATE)) for request in expired])
            if pieces:
                for piece in pieces:
                    if piece.start == 0:
                        piece.request.begun_at = now
                        piece.request.timing.queue_seconds = now - piece.request.accepted_at
                alone = len(self._free_lanes) == self._lanes and not any(other.queue for other in self._turn)
                return line, pieces, self._free_lanes.pop(), alone
        return None

    def _run_pass(
        self,
        line: Line,
        pieces: list[Piece],
        lane: int,
        alone: bool,
        settle: Callable[[Sequence[Outcome]], None],
    ) -> None:
        """Compute, encode and settle; whatever goes wrong harms the requests of this batch only."""
        try:
            forward = line.engine.wide if alone else line.engine.lanes[lane]
            done, seconds = compute(line, pieces, forward, self._lock)
            self._learn_rate(sum(piece.stop - piece.start for piece in pieces), seconds)
        except Exception as error:
            settle(self._failed(line, pieces, error))
            return
        if self._encoders and done:
            self._encoders.submit(lambda: settle(finish(line, done)))
        elif done:
            settle(finish(line, done))

    def _learn_rate(self, images: int, seconds: float) -> None:
        """An average over some 20 passes of a lane, for Retry-After."""
        rate = images * self._lanes / max(seconds, 1e-6)
        self._images_per_second += (
            0.05 * (rate - self._images_per_second) if self._images_per_second else rate
        )

    def _failed(self, line: Line, pieces: list[Piece], error: Exception) -> list[Outcome]:
        number = next(self._failures)
        log.error(
            "forward pass failed (failure %d of this worker, model %s)", number, line.name, exc_info=error
        )
        with self._lock:
            for piece in pieces:
                line.queue.discard(piece.request)
            line.queue_images.set(line.queue.waiting_images)
        metrics.dropped.labels("engine_failed").inc(len(pieces))
        text = f"The forward pass failed; the server's log has the cause as failure {number}."
        return [(piece.request, None, EngineFailed(text)) for piece in pieces]

    def _settle_there(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the event loop: once for all, because each time wakes it."""
        try:
            outcomes[0][0].loop.call_soon_threadsafe(self._settle_here, outcomes)
        except RuntimeError:
            log.debug("answers came after the event loop had closed")


_TOO_LATE = "The deadline passed before the images were ready."
