"""Refusals, held back for a moment where there are many of them.

A client that is refused at once comes again at once. In a flood that costs the event loop, which runs passes too, more
than what is answered: at 3.5 times the capacity of single images 37 % of the goodput was left. Held back, each
connection asks some five times a second at most, and what it sends meanwhile waits in the kernel.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

HOLD_SECONDS = 0.2
_FREE = 20
"""Refusals in HOLD_SECONDS that are few, and sent at once."""
_TURN_SECONDS = 0.004
"""In which those held are let go, in one turn of the event loop."""


class Refusals:
    """Of one event loop."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._held: deque[tuple[float, Callable[[], None]]] = deque()

    def send(self, refuse: Callable[[], None]) -> None:
        """Call `refuse` now, or within HOLD_SECONDS and a little."""
        now = time.monotonic()
        if now > self._since + HOLD_SECONDS:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= _FREE and not self._held:
            refuse()
            return
        self._held.append((now + HOLD_SECONDS, refuse))
        if len(self._held) == 1:
            asyncio.get_running_loop().call_later(HOLD_SECONDS, self._let_go)

    async def wait(self) -> None:
        """Until a refusal may be sent."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send(lambda: None if future.done() else future.set_result(None))
        await future

    def _let_go(self) -> None:
        begun = now = time.monotonic()
        # The event loop's clock ticks in milliseconds.
        while self._held and self._held[0][0] <= now + 0.001 and now < begun + _TURN_SECONDS:
            self._held.popleft()[1]()
            now = time.monotonic()
        if self._held:
            asyncio.get_running_loop().call_later(max(0.0, self._held[0][0] - now), self._let_go)
