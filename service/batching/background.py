"""Work that nobody waits for on the spot: it takes the lanes that requests leave, and stands back as soon as some come."""

import asyncio
import time
from collections.abc import Callable
from math import inf

from service.batching.forward_pass import Line

LATELY_SECONDS = 0.5
"""How long after a request another is expected."""
_SHORT_SECONDS = 0.001  # of a pass, while requests come: who comes during it waits for it
_RESTS = 3  # passes' lengths from one to the next, while requests come
_MOST_WAIT_SECONDS = (
    1.0  # where requests always wait, a short pass now and then still keeps a client's connection alive
)


class Background:
    """Of one batcher. On the event loop."""

    def __init__(self, lanes: int) -> None:
        self.asked_at = -inf
        """When a request was last accepted, in time.monotonic() seconds."""
        self.lanes = lanes
        """Passes that may run at once."""
        self._running = 0
        self._rests_until = 0.0
        self._waiting: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """No request waits any more, or one of this work's passes is over."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def turn(self, line: Line, is_idle: Callable[[], bool]) -> int:
        """Wait until a pass may be asked for, and reserve it. Returns how many images it may have.

        is_idle: whether no request is accepted.
        """
        end = time.monotonic() + _MOST_WAIT_SECONDS
        while True:
            now = time.monotonic()
            if now > self.asked_at + LATELY_SECONDS:
                if self._running < self.lanes:
                    self.reserve()
                    return line.queue.max_piece
                left = inf
            else:
                left = max(self._rests_until, now if is_idle() else end) - now
                if not self._running and left <= 0:
                    self.reserve()
                    return min(line.queue.max_piece, line.images_within(_SHORT_SECONDS))
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                async with asyncio.timeout(max(0.001, min(left, LATELY_SECONDS))):
                    await future
            except TimeoutError:
                continue
            finally:
                self._waiting.remove(future)

    def reserve(self) -> None:
        """A pass is about to be asked for."""
        self._running += 1

    def release(self, begun: float) -> None:
        """It is over, or never began. The next one comes after a rest, as far as requests come meanwhile."""
        self._running -= 1
        now = time.monotonic()
        self._rests_until = now + _RESTS * (now - begun)
        self.wake()
