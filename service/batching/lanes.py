"""Who runs the forward passes of one device: threads, and the event loop. Whose turn it is, scheduler.py says.

A lane is the right to run one pass of a model; whoever runs it, a thread or the event loop, holds it meanwhile. Models
may differ in how many they have: as many passes run at once, of all models together, as one of them may have. Where every
model is quick, the event loop's own thread is one of those that run passes: waking another thread, and getting the
interpreter's lock back from it, would take longer than the pass.
"""

import asyncio
import threading
import time
from contextlib import suppress
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from numpy.typing import NDArray

from service.batching import scheduler
from service.batching.answers import Answers, SettleAll
from service.batching.forward_pass import Line, Pass, Work, compute, hand_out
from service.batching.request_queue import Piece, Request
from service.batching.scheduler import Scheduler, next_of
from service.errors import DeadlinePassed, ModelBroke
from service.generator.engine import Passes
from service.machine.cores import Cores

MOST_TURNS = 64  # that a pass on the event loop gives way for, so that nobody's new connections can starve it
BORROWED_SECONDS = 0.01  # a pass on another worker's core, which may want it back
TOO_LATE = "The deadline passed before the images were ready."


class Lanes:
    """The lanes, the threads and the lock, which is held wherever the scheduler is asked for more than whether there is work."""

    def __init__(self, count: int, encode_threads: int, settle: SettleAll, cores: Cores) -> None:
        """count: passes that may run at once, until a line comes that has more lanes. settle: called on the event loop with what
        has come of requests. cores: what lanes run on."""
        self.count = 0
        self._cores = cores
        self.passes: dict[int, Pass] = {}
        """Those that run, by the thread that runs them."""
        self._answers = Answers(encode_threads, settle, count)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._running = 0
        self._free_lanes: WeakKeyDictionary[Passes, list[int]] = WeakKeyDictionary()
        self._loop_in_pass = False
        self._pass_is_due = False
        self._gives_way = False
        self._turns_given = 0
        self._closing = False
        self._scheduler = Scheduler(self._answers.lanes_encode)
        self._threads: list[threading.Thread] = []
        self._grow(count)

    def add(self, line: Line) -> None:
        with self._lock:
            # An engine has no more lanes for serving another line, too.
            line.free_lanes = self._free_lanes.setdefault(line.engine, line.free_lanes)
            self._scheduler.add(line)
            self._grow(line.lanes)
            self._work.notify_all()

    def remove(self, line: Line) -> None:
        """Of which nothing waits. On the event loop."""
        with self._lock:
            self._scheduler.remove(line)
            self._work.notify_all()
        # What was left to the threads may be the event loop's work from now on.
        self._go_on_here(asyncio.get_running_loop())

    def append(self, line: Line, request: Request) -> None:
        """Work for the line. On the event loop."""
        with self._lock:
            self._scheduler.append(line, request)
            if not self._scheduler.loop_is_lane:
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
        self._answers.close()

    def _grow(self, count: int) -> None:
        """So many passes may run at once, if that is more than could before."""
        for lane in range(self.count, count):
            thread = threading.Thread(target=self._run_thread, name=f"lane-{lane}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self.count = max(self.count, count)

    def _run_thread(self) -> None:
        while True:
            with self._work:
                while self._scheduler.loop_is_alone or (work := self._take(self._kept_lanes())) is None:
                    if self._closing:
                        return
                    self._work.wait()
            self._run_pass(work, self._answers.settle_there)
            with self._lock:
                self._give_back(work)
                # Threads had every lane when the event loop became one, or a backlog.
                left = self._scheduler.loop_is_lane and not (self._loop_in_pass or self._pass_is_due)
                left = left and not self._scheduler.has_backlog() and self._scheduler.has_work
            if left:
                loop = work.pieces[0].request.loop
                with suppress(RuntimeError):  # it has been closed
                    loop.call_soon_threadsafe(self._go_on_here, loop)
            del work  # an idle thread would keep a retired engine in memory

    def _kept_lanes(self) -> int:
        """Lanes that threads leave to the event loop."""
        return int(
            self._scheduler.loop_is_lane and not self._loop_in_pass and not self._scheduler.has_backlog()
        )

    def _go_on_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, where that is for the event loop to do."""
        if not self._pass_is_due and self._scheduler.loop_is_lane and self._scheduler.has_work:
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
            backlog = self._scheduler.has_backlog()
            work = (
                self._take(kept=0, seconds=scheduler.QUICK_SECONDS)
                if self._scheduler.loop_is_lane and not backlog
                else None
            )
            if not self._scheduler.loop_is_alone and self._scheduler.has_work:
                self._work.notify(self.count if backlog else 1)
            if work is None:
                return
            self._loop_in_pass = True
        self._run_pass(work._replace(alone=False), self._answers.settle)
        with self._lock:
            self._loop_in_pass = False
            self._give_back(work)
        self._go_on_here(loop)

    def _take(self, kept: int, seconds: float = inf) -> Work | None:
        """The next batch of the model whose turn it is, and one of its lanes, if more than `kept` passes may begin. The lock is held.

        seconds: what the pass may take.
        """
        running = self._running
        # One pass at any time, whatever the other workers do: they make room when theirs are over.
        if self.count - running <= kept or (running and self._cores.idle(running) <= 0):
            return None
        if running >= self._cores.own:
            seconds = min(seconds, BORROWED_SECONDS)
        now = time.monotonic()
        while waiting := self._scheduler.waiting():
            line = next_of(waiting)
            most = min(self._share(line, len(waiting), running), line.images_within(seconds))
            pieces, expired = line.queue.next_batch(now, line.full_pass_seconds, most)
            line.queue_images.set(line.queue.waiting_images)
            if expired:
                self._answers.settle_there([(request, None, DeadlinePassed(TOO_LATE)) for request in expired])
            if pieces:
                lane = self._scheduler.begin(line)
                self._running += 1
                for piece in pieces:
                    if piece.start == 0:
                        piece.request.begun_at = now
                        piece.request.timing.queue_seconds = now - piece.request.accepted_at
                alone = not running and not self._scheduler.has_work and self._has_all_cores(line)
                self._cores.note(running + 1)
                return Work(line, pieces, lane, alone, line.full_pass_seconds)
        return None

    def _give_back(self, work: Work) -> None:
        """The lane, once its pass is over. The lock is held."""
        self._scheduler.end(work.line, work.lane)
        self._running -= 1
        # Who has work is about to use its core again: what is between two passes is no idle core.
        self._cores.note(max(self._running, int(self._scheduler.has_work)))

    def _has_all_cores(self, line: Line) -> bool:
        """Whether no other worker runs a pass."""
        return bool(line.engine.buckets) or self._cores.idle(0) >= line.lanes

    def _share(self, line: Line, waiting_lines: int, running: int) -> int:
        """Images that a pass takes where other lanes are free, too.

        Not where passes are padded: an accelerator takes as long for few images as for many.
        """
        free = self.count - running
        if line.engine.buckets or free == 1:
            return line.queue.max_batch
        lanes = min(len(line.free_lanes), min(free, self._cores.idle(running)) - (waiting_lines - 1))
        return scheduler.share(line, lanes)

    def _run_pass(self, work: Work, settle: SettleAll) -> None:
        """Compute, encode and settle; whatever goes wrong harms the requests of this batch only."""
        line, pieces, thread = work.line, work.pieces, threading.get_ident()
        began = time.monotonic()
        self.passes[thread] = Pass(line.name, began)
        forward = line.engine.wide if work.alone else line.engine.lanes[work.lane]
        is_typical = True
        try:
            images = compute(line, pieces, forward)
        except Exception as error:
            is_typical = False
            failure = self._answers.note_failure(line, error)
            if len(pieces) > 1 and not isinstance(error, ModelBroke):
                self._run_each(work, failure, settle)
            else:
                self._fail(line, pieces, error, failure, settle)
        else:
            self._hand_out(line, pieces, images, settle)
        del self.passes[thread]
        seconds = time.monotonic() - began
        with self._lock:
            line.charge(seconds - work.charged_seconds)
            if is_typical:
                line.learn(sum(piece.stop - piece.start for piece in pieces), seconds)

    def _run_each(self, work: Work, failure: str, settle: SettleAll) -> None:
        """After a pass that failed each request has one of its own, once: only what fails again is at fault."""
        for piece in work.pieces:
            self.passes[threading.get_ident()] = Pass(work.line.name, time.monotonic())
            try:
                images = compute(work.line, [piece], work.line.engine.lanes[work.lane])
            except Exception as error:
                self._fail(work.line, [piece], error, failure, settle)
            else:
                self._hand_out(work.line, [piece], images, settle)

    def _hand_out(self, line: Line, pieces: list[Piece], images: NDArray[Any], settle: SettleAll) -> None:
        try:
            done = hand_out(pieces, images, self._lock)
        except Exception as error:
            self._fail(line, pieces, error, self._answers.note_failure(line, error), settle)
        else:
            self._answers.finish(line, done, settle)

    def _fail(
        self, line: Line, pieces: list[Piece], error: Exception, failure: str, settle: SettleAll
    ) -> None:
        self._discard(line, pieces)
        settle(self._answers.failed(pieces, error, failure))

    def _discard(self, line: Line, pieces: list[Piece]) -> None:
        """Of these requests, what has not begun."""
        with self._lock:
            for piece in pieces:
                line.queue.discard(piece.request)
            line.queue_images.set(line.queue.waiting_images)
