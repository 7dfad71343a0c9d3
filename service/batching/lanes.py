"""Who runs the forward passes of one device, and whose turn it is.

A lane is the right to run one pass; whoever runs it, a thread or the event loop, holds it meanwhile. Where every
model is quick, the event loop's own thread is one of them: waking another thread, and getting the interpreter's
lock back from it, would take longer than the pass.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import ceil, inf
from typing import NamedTuple

from service import metrics
from service.batching.forward_pass import Line, Outcome, compute, finish
from service.batching.request_queue import Piece, Request
from service.errors import DeadlinePassed, EngineFailed, ModelBroke
from service.machine.cores import Cores

log = logging.getLogger("bentoml.ganserve.batcher")

QUICK_SECONDS = 0.015  # a pass that takes no longer may hold up the event loop
MOST_TURNS = 64  # that a pass on the event loop gives way for, so that nobody's new connections can starve it
BACKLOG_PASSES = 2  # as large as the event loop's may be; where more wait, threads run them all
BORROWED_SECONDS = 0.01  # a pass on another worker's core, which may want it back
LEAST_SHARE = 4  # images; fewer are not worth a second lane
WAKING_SECONDS = 0.001  # a pass that takes less is over before another thread, woken for it, has begun
TOO_LATE = "The deadline passed before the images were ready."


class Pass(NamedTuple):
    """One that runs now."""

    model: str
    began: float
    """time.monotonic() seconds."""


class Work(NamedTuple):
    """A pass to run, and the lane to run it on."""

    line: Line
    pieces: list[Piece]
    lane: int
    alone: bool
    """No other pass runs, and nothing else waits."""
    charged_seconds: float
    """What the line was charged for it in advance."""


class Lanes:
    """Lanes take the models that have work by turns, each as long as the others: a model whose passes are long has fewer."""

    def __init__(
        self, count: int, encode_threads: int, settle: Callable[[Sequence[Outcome]], None], cores: Cores
    ) -> None:
        """settle: called on the event loop with what has come of requests. cores: what lanes run on."""
        self.count = count
        self._cores = cores
        self.passes: dict[int, Pass] = {}
        """Those that run, by lane."""
        self._settle = settle
        self._lines: list[Line] = []
        self._now = 0.0
        """Of the clock that lines' `turn` is on: where the line stood that was taken last."""
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._free = list(range(count))
        self._loop_is_lane = False
        self._loop_is_alone = False
        self._loop_in_pass = False
        self._pass_is_due = False
        self._gives_way = False
        self._turns_given = 0
        self._closing = False
        self._failures = itertools.count(1)
        self._lanes_encode = not encode_threads
        self._encoders = ThreadPoolExecutor(encode_threads or 1, "encode")
        self._threads = [
            threading.Thread(target=self._run_thread, name=f"lane-{lane}", daemon=True)
            for lane in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, line: Line) -> None:
        with self._lock:
            self._lines.append(line)
            self._choose_who_runs()

    def remove(self, line: Line) -> None:
        """Of which nothing waits. On the event loop."""
        with self._lock:
            self._lines.remove(line)
            self._choose_who_runs()
        # What was left to the threads may be the event loop's work from now on.
        self._go_on_here(asyncio.get_running_loop())

    def append(self, line: Line, request: Request) -> None:
        """Work for the line. On the event loop."""
        with self._lock:
            if not line.queue:  # what it did not use while it had nothing to do is not saved up
                line.turn = max(line.turn, self._now)
            line.queue.append(request)
            line.queue_images.set(line.queue.waiting_images)
            if not self._loop_is_lane:
                self._work.notify()
        self._go_on_here(request.loop)  # after all that has arrived has been read

    def discard(self, line: Line, request: Request) -> None:
        """Take out what of the request has not begun."""
        with self._lock:
            if line.queue.discard(request):
                line.queue_images.set(line.queue.waiting_images)
        # Without it, what is left may be too little for the threads that it was left to.
        self._go_on_here(request.loop)

    def give_way(self) -> None:
        """Let the event loop turn once more before its next pass."""
        self._gives_way = True

    def drain(self) -> None:
        """Threads end once nothing waits."""
        with self._lock:
            self._closing = True
            self._work.notify_all()

    def close(self) -> None:
        """Drain, and wait for the threads to end."""
        self.drain()
        for thread in self._threads:
            thread.join()
        self._encoders.shutdown()

    def _choose_who_runs(self) -> None:
        """Whether the event loop's thread runs passes, and whether it alone does. The lock is held."""
        slowest = max((line.pass_seconds for line in self._lines), default=inf)
        pieces = max((line.piece_seconds for line in self._lines), default=inf)
        self._loop_is_lane = self._lanes_encode and pieces <= QUICK_SECONDS
        self._loop_is_alone = self._loop_is_lane and slowest < WAKING_SECONDS
        self._work.notify_all()

    def _run_thread(self) -> None:
        while True:
            with self._work:
                while self._loop_is_alone or (work := self._take(self._kept_lanes())) is None:
                    if self._closing:
                        return
                    self._work.wait()
            self._run_pass(work, self._settle_there)
            with self._lock:
                self._give_back(work)
                # Threads had every lane when the event loop became one, or a backlog.
                left = self._loop_is_lane and not (self._loop_in_pass or self._pass_is_due)
                left = left and not self._has_backlog() and any(line.queue for line in self._lines)
            if left:
                loop = work.pieces[0].request.loop
                with suppress(RuntimeError):  # it has been closed
                    loop.call_soon_threadsafe(self._go_on_here, loop)
            del work  # an idle thread would keep a retired engine in memory

    def _kept_lanes(self) -> int:
        """Lanes that threads leave to the event loop."""
        return int(self._loop_is_lane and not self._loop_in_pass and not self._has_backlog())

    def _has_backlog(self) -> bool:
        """Whether so much waits that a thread's passes are full, and worth waking it. The lock is held.

        At ten times the capacity of the shipped model, requests for 16 images, passes on the event loop made
        a refusal take 30 ms at the median, and goodput was two thirds of what it is without (two cores).
        """
        return not self._loop_is_alone and any(
            line.queue.waiting_images > BACKLOG_PASSES * line.images_within(QUICK_SECONDS)
            for line in self._lines
        )

    def _go_on_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, where that is for the event loop to do."""
        if self._loop_is_lane and any(line.queue for line in self._lines) and not self._pass_is_due:
            self._pass_is_due = True
            loop.call_soon(self._run_here, loop)

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
            backlog = self._has_backlog()
            work = self._take(kept=0, seconds=QUICK_SECONDS) if self._loop_is_lane and not backlog else None
            if not self._loop_is_alone and any(line.queue for line in self._lines):
                self._work.notify(self.count if backlog else 1)
            if work is None:
                return
            self._loop_in_pass = True
        self._run_pass(work._replace(alone=False), self._settle)
        with self._lock:
            self._loop_in_pass = False
            self._give_back(work)
        self._go_on_here(loop)

    def _take(self, kept: int, seconds: float = inf) -> Work | None:
        """The next batch of the model whose turn it is, and a lane, if more than `kept` are free. The lock is held.

        seconds: what the pass may take.
        """
        running = self.count - len(self._free)
        # One pass at any time, whatever the other workers do: they make room when theirs are over.
        if len(self._free) <= kept or (running and self._cores.idle(running) <= 0):
            return None
        if running >= self._cores.own:
            seconds = min(seconds, BORROWED_SECONDS)
        now = time.monotonic()
        while waiting := [line for line in self._lines if line.queue]:
            line = min(waiting, key=lambda line: line.turn)
            most = min(self._share(line, len(waiting), running), line.images_within(seconds))
            pieces, expired = line.queue.next_batch(now, line.full_pass_seconds, most)
            line.queue_images.set(line.queue.waiting_images)
            if expired:
                self._settle_there([(request, None, DeadlinePassed(TOO_LATE)) for request in expired])
            if pieces:
                self._now = line.turn
                line.charge(line.full_pass_seconds)
                for piece in pieces:
                    if piece.start == 0:
                        piece.request.begun_at = now
                        piece.request.timing.queue_seconds = now - piece.request.accepted_at
                alone = (
                    not running
                    and not any(other.queue for other in self._lines)
                    and self._has_all_cores(line)
                )
                self._cores.note(running + 1)
                return Work(line, pieces, self._free.pop(), alone, line.full_pass_seconds)
        return None

    def _give_back(self, work: Work) -> None:
        """The lane, once its pass is over. The lock is held."""
        self._free.append(work.lane)
        running = self.count - len(self._free)
        # Who has work is about to use its core again: what is between two passes is no idle core.
        self._cores.note(max(running, int(any(line.queue for line in self._lines))))

    def _has_all_cores(self, line: Line) -> bool:
        """Whether no other worker runs a pass."""
        return bool(line.engine.buckets) or self._cores.idle(0) >= self.count

    def _share(self, line: Line, waiting_lines: int, running: int) -> int:
        """Images that a pass takes where other lanes are free, too: cores that compute nothing cost more than a smaller pass.

        Not where passes are padded: an accelerator has one lane, and takes as long for few images as for many.
        """
        if line.engine.buckets or len(self._free) == 1:
            return line.queue.max_batch
        lanes = min(len(self._free), self._cores.idle(running)) - (waiting_lines - 1)
        if lanes <= 1:
            return line.queue.max_batch
        least = max(LEAST_SHARE, line.images_within(WAKING_SECONDS))
        return max(least, ceil(line.queue.waiting_images / lanes))

    def _run_pass(self, work: Work, settle: Callable[[Sequence[Outcome]], None]) -> None:
        """Compute, encode and settle; whatever goes wrong harms the requests of this batch only."""
        line, pieces, lane = work.line, work.pieces, work.lane
        began = time.monotonic()
        self.passes[lane] = Pass(line.name, began)
        try:
            done = compute(
                line, pieces, line.engine.wide if work.alone else line.engine.lanes[lane], self._lock
            )
        except Exception as error:
            settle(self._failed(line, pieces, error))
        else:
            self._finish(line, done, settle)
        del self.passes[lane]
        seconds = time.monotonic() - began
        with self._lock:
            line.charge(seconds - work.charged_seconds)
            line.learn(sum(piece.stop - piece.start for piece in pieces), seconds)

    def _finish(self, line: Line, done: list[Request], settle: Callable[[Sequence[Outcome]], None]) -> None:
        """Encode and settle: here, but for answers so large that whoever waits for the lane would notice."""
        if self._lanes_encode:
            large = [request for request in done if request.n > line.queue.max_piece and not request.copies]
            if small := [request for request in done if request.n <= line.queue.max_piece or request.copies]:
                settle(finish(line, small))
        else:
            large = done
        if large:
            self._encoders.submit(lambda: self._settle_there(finish(line, large)))

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
        if isinstance(error, ModelBroke):
            return [(piece.request, None, ModelBroke(f"{error}")) for piece in pieces]
        return [(piece.request, None, EngineFailed(text)) for piece in pieces]

    def _settle_there(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the event loop: once for all, because each time wakes it."""
        try:
            outcomes[0][0].loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:
            log.debug("answers came after the event loop had closed")
