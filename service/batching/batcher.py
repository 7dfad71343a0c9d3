"""Merges whatever waits into single forward passes: one batcher a device, one queue a model.

Work-conserving: an idle lane starts at once on what is there, and while all lanes run, arrivals queue;
there is no timer, so a lone request never waits. Knows nothing of HTTP or BentoML.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from numpy.typing import NDArray

from service import metrics
from service.batching.admission import Admission
from service.batching.background import Background
from service.batching.forward_pass import Line, Outcome, Pass
from service.batching.lanes import TOO_LATE, Lanes
from service.batching.request_queue import Request, RequestQueue, Settle, Timing
from service.errors import DeadlinePassed, Draining, ModelBroke
from service.generator.engine import Passes
from service.generator.latents import Seeded
from service.machine.cores import Cores

log = logging.getLogger("bentoml.ganserve.batcher")


class Batcher:
    """Takes requests in, and sees to it that each is settled: by images, by its deadline, or by why not.

    All but the lanes' passes happens on the event loop.
    """

    def __init__(
        self,
        lanes: int,
        max_queue_images: int,
        encode_threads: int = 0,
        *,
        most_request_images: int | None = None,
        max_wait_seconds: float = inf,
        cores: Cores | None = None,
    ) -> None:
        """lanes: passes that may run at once; a model that has more brings its own. encode_threads: threads that turn pixels into answers; 0 where a lane is a core anyway, and does it.
        cores: those that lanes run on, where other workers use them too.

        most_request_images, max_wait_seconds: as Admission has them; without the first, nothing is kept for a model.
        """
        self._cores = cores or Cores(lanes)
        self.admission = Admission(
            min(lanes, self._cores.own),  # under load the others need theirs
            max_queue_images,
            max_queue_images if most_request_images is None else most_request_images,
            max_wait_seconds,
        )
        self.background = Background(lanes)
        self._lanes = Lanes(lanes, encode_threads, self._settle, self._cores)
        self._accepted: dict[Request, Line] = {}
        self._ending: set[Line] = set()
        self._draining = False
        self._next_deadline = inf
        self._deadline_timer: asyncio.TimerHandle | None = None

    @property
    def accepted_images(self) -> int:
        """Images accepted and not yet answered; a large one is several."""
        return self.admission.accepted_images

    def passes(self) -> list[Pass]:
        """The forward passes that run now. On any thread."""
        return list(self._lanes.passes.values())

    def add(
        self,
        name: str,
        engine: Passes,
        max_batch: int,
        pass_seconds: float = inf,
        max_piece: int | None = None,
        shared_piece: int | None = None,
        version: str = "",
        counts_as: int = 1,
    ) -> Line:
        """A line for `engine`, whose lanes are its own, however many others have.

        name, version: whose it is. max_piece: most images of one request in a pass; max_batch, if it is not given. shared_piece: as
        RequestQueue has it.
        counts_as: as Line has it; one image alone is accepted however large.
        pass_seconds: what a pass of max_batch images takes on one lane.
        """
        queue = RequestQueue(max_batch, max_piece or max_batch, shared_piece)
        counts_as = min(counts_as, self.admission.most_request_images)
        line = Line(name, engine, queue, pass_seconds, version, counts_as)
        self.admission.add(line)
        self._cores.be_at_least(line.lanes)
        self._lanes.add(line)
        self.background.lanes = self._lanes.count
        self.admission.lanes = min(self._lanes.count, self._cores.own)
        return line

    def remove(self, line: Line) -> None:
        """Let go of a line that gets no more requests, once all that it got have ended. On the event loop."""
        self._ending.add(line)
        self._remove_if_idle(line)

    async def submit(
        self,
        line: Line,
        z: NDArray[Any] | Seeded,
        label: Sequence[int] | None,
        deadline: float,
        finish: Callable[[NDArray[Any]], Any],
        timing: Timing | None = None,
        effort: int = 1,
        background: bool = False,
    ) -> Any:
        """finish(images of these latents), whichever batches their pieces travel in.

        z: float32 [n, z_dim], finite, or the seeds of it, or what else the line's engine takes; label: n classes, in range, or None;
        deadline: time.monotonic() seconds. finish: called with uint8 [n, C, H, W], or what else the line gives, in the order asked, on whichever thread ran the last pass.
        timing: is filled in. effort: what a byte of pixels takes `finish`, as Request has it. background: whether nobody waits for it on
        the spot, so that what does need not stand back (background.py).
        Raises QueueFull or Draining before anything is queued; DeadlinePassed; EngineFailed, to the
        requests that fail alone, too; whatever `finish` raises. Cancelling drops what has not begun.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(answer: Any, error: BaseException | None) -> None:
            if future.done():  # its task was cancelled, and has not run yet
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        request = self.enqueue(line, z, label, deadline, finish, settle, timing, effort, background)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancel(request)
            raise

    def enqueue(
        self,
        line: Line,
        z: NDArray[Any] | Seeded,
        label: Sequence[int] | None,
        deadline: float,
        finish: Callable[[NDArray[Any]], Any],
        settle: Settle,
        timing: Timing | None = None,
        effort: int = 1,
        background: bool = False,
    ) -> Request:
        """As `submit`, for callers on the event loop that need no task to wait in.

        Raises QueueFull, Draining or DeadlinePassed before anything is queued; every other outcome is `settle`d.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        request = Request(z, label, deadline, now, finish, loop, settle, timing or Timing(), effort)
        self._admit(line, request.n, deadline - now)
        self.admission.take(line, request.n)
        if not background:
            self.background.asked_at = now
        self._accepted[request] = line
        if deadline < self._next_deadline:
            self._watch_deadline(loop, deadline, now)
        self._lanes.append(line, request)
        return request

    def cancel(self, request: Request) -> None:
        """Nobody waits for it any more: drop what has not begun, and settle nothing. On the event loop."""
        if request in self._accepted:
            metrics.dropped.labels("disconnect").inc()
            self._accepted[request].count("disconnect")
            self._leave(request)

    async def background_turn(self, line: Line) -> int:
        """Wait until work that can wait may have a pass, which background.release ends. Returns how many images it may have."""
        return await self.background.turn(line, lambda: not self._accepted)

    def give_way(self) -> None:
        """Let the event loop turn once more before its next pass."""
        self._lanes.give_way()

    def drain(self) -> None:
        """Refuse new work; what was accepted is still answered."""
        self._draining = True
        self._lanes.drain()

    def close(self) -> None:
        """Drain, and wait for the threads to end."""
        self.drain()
        self._lanes.close()

    def _admit(self, line: Line, n: int, seconds_left: float) -> None:
        if self._draining:
            metrics.refused.labels("draining").inc()
            raise Draining("The service is shutting down; try another replica.")
        if seconds_left <= 0:
            metrics.refused.labels("deadline").inc()
            raise DeadlinePassed(TOO_LATE)
        self.admission.check(line, n, seconds_left)

    def _remove_if_idle(self, line: Line) -> None:
        if line not in self._accepted.values():
            self._ending.remove(line)
            self.admission.remove(line)
            self._lanes.remove(line)

    def _leave(self, request: Request) -> Line | None:
        """Take it off the books; None if it was off already."""
        line = self._accepted.pop(request, None)
        if line is None:
            return None
        self.admission.give_back(line, request.n)
        if request.begun < request.n:
            self._lanes.discard(line, request)
        if not self._accepted:
            self.background.wake()
            if self._deadline_timer:
                self._deadline_timer.cancel()
                self._next_deadline = inf
        if line in self._ending:
            self._remove_if_idle(line)
        return line

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
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
            if isinstance(error, ModelBroke) and line.on_broken:
                line.on_broken(f"{error}")
            try:
                request.settle(answer, error)
            except Exception:
                log.exception("an answer could not be handed over", extra={"event": "answer_lost"})

    def _watch_deadline(self, loop: asyncio.AbstractEventLoop, deadline: float, now: float) -> None:
        """One timer for all requests: it is armed for the nearest deadline, and mostly finds it met."""
        if self._deadline_timer:
            self._deadline_timer.cancel()
        self._next_deadline = deadline
        self._deadline_timer = loop.call_later(deadline - now, self._check_deadlines, loop)

    def _check_deadlines(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic() + 0.001  # the event loop's clock ticks in milliseconds
        self._settle([(one, None, DeadlinePassed(TOO_LATE)) for one in self._accepted if one.deadline <= now])
        if self._accepted:
            self._watch_deadline(loop, min(one.deadline for one in self._accepted), now)
