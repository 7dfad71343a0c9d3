"""Refusals, held back for a moment where there are many of them, and for longer where they would take too much.

A client that is refused at once comes again at once. In a flood that costs the event loop, which runs passes too, more
than what is answered: at 3.5 times the capacity of single images 37 % of the goodput was left. Held back, each
connection asks some five times a second at most, and what it sends meanwhile waits in the kernel. So what is read
follows what is refused, and both are bounded by how much of a core refusing may take.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from service.web.connection.limits import DefaultHeaders, head_of
from service.web.http.asgi import Reply

HOLD_SECONDS = 0.2
_FREE = 20
"""Refusals in HOLD_SECONDS that are few, and sent at once."""
_TURN_SECONDS = 0.001
"""In which those held are let go, in one turn of the event loop."""
_MOST_TASKS = 8
"""Refusals by tasks in such a turn, each of which takes some 0.1 ms of the next."""
_SHARE = 0.12
"""Of a core, that refusing may take."""
_WHOLE = 2
"""What a refusal takes in all, by what sending it takes: reading the request takes about as long."""
_MOST_SECONDS = 0.002
"""That one refusal can have taken: what else a task waits for is nobody's fault."""


class Refusal:
    """A reply to many, and its head, which is the same for as long as the date is."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self._default_headers: DefaultHeaders = ()
        self._head = b""

    def head(self, default_headers: DefaultHeaders) -> bytes:
        if self._default_headers is not default_headers:
            self._head, self._default_headers = head_of(self.reply, default_headers), default_headers
        return self._head


class Refusals:
    """Of one event loop."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._rests_until = 0.0
        self._held: deque[tuple[float, Callable[[], bool | None]]] = deque()

    def send(self, refuse: Callable[[], bool | None]) -> None:
        """Call `refuse` now, or after HOLD_SECONDS, or as soon after that as there is time for it.

        It returns True where a task does the work.
        """
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

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Wait until a refusal may be sent, which is done within."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> bool:
            if not future.done():
                future.set_result(None)
            return True

        self.send(wake)
        await future
        used = time.thread_time()
        try:
            yield
        finally:
            self._charge(min(_MOST_SECONDS, time.thread_time() - used))

    def _charge(self, seconds: float) -> None:
        """So long sending took, of this thread's time."""
        now = time.monotonic()
        self._rests_until = max(now, self._rests_until) + seconds * _WHOLE / _SHARE

    def _let_go(self) -> None:
        begun = now = time.monotonic()
        if now >= self._rests_until:
            used, tasks = time.thread_time(), 0
            # The event loop's clock ticks in milliseconds.
            while (
                self._held
                and self._held[0][0] <= now + 0.001
                and now < begun + _TURN_SECONDS
                and tasks < _MOST_TASKS
            ):
                tasks += bool(self._held.popleft()[1]())
                now = time.monotonic()
            self._charge(time.thread_time() - used)
        if self._held:
            wait = max(self._rests_until, self._held[0][0]) - now
            asyncio.get_running_loop().call_later(max(0.001, wait), self._let_go)
