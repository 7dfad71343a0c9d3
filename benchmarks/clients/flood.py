"""More requests than a server can answer: sent when they are due, whatever it does meanwhile.

By uvloop and bare protocols: a client library would be the bottleneck long before the server refuses.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop

LOST = 0
"""The status of a request whose connection broke."""
_TICK_SECONDS = 0.001
_AFTER_REFUSAL_SECONDS = 0.1


@dataclass
class Flood:
    """What came of a load: of each request its status, when it was sent, and the seconds from then to its answer.

    Where `unsent` is not small, less was asked than was meant to be.
    """

    statuses: list[int] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    """time.monotonic() seconds."""
    seconds: list[float] = field(default_factory=list)
    ended: float = 0.0
    """When the last request was due."""
    unsent: int = 0
    """Requests that were due then, and for which no connection was free."""

    def add(self, status: int, sent: float, now: float) -> None:
        self.statuses.append(status)
        self.sent.append(sent)
        self.seconds.append(now - sent)

    def count(self, status: int) -> int:
        return self.statuses.count(status)

    def quantile(self, status: int, level: float) -> float:
        """Of the seconds of the answers with that status; NaN if there are none."""
        found = [s for s, code in zip(self.seconds, self.statuses, strict=True) if code == status]
        return float(np.quantile(found, level)) if found else float("nan")

    def answered_in(self, status: int, begin: float, end: float) -> int:
        """How many answers with that status came in that time."""
        came = np.array(self.sent) + np.array(self.seconds)
        return int(np.sum((np.array(self.statuses) == status) & (came >= begin) & (came < end)))


Request = Callable[[int], bytes]
"""Number of the request -> all its bytes."""


def samples(fields: str) -> Request:
    """POST /v1/samples with these fields, as JSON without braces, and a seed of its own for each."""

    def request(number: int) -> bytes:
        body = b'{"seed": %d%b}' % (1000 * number, (", " + fields).encode() if fields else b"")
        return (
            b"POST /v1/samples HTTP/1.1\r\nhost: flood\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    return request


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(
        self, on_answer: Callable[["_Connection", int], None], on_idle_end: Callable[["_Connection"], None]
    ) -> None:
        self._on_answer = on_answer
        self._on_idle_end = on_idle_end
        self.sent = 0.0
        self._missing = -1
        """Bytes of the answer's body to come; -1: its head has not ended."""
        self._head = b""
        self._status = LOST
        self._waits = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> None:
        self.sent, self._waits, self._missing, self._head = time.monotonic(), True, -1, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            begin = self._head.lower().find(b"content-length:") + 15
            self._status = int(self._head[9:12])
            self._missing = int(self._head[begin : self._head.find(b"\r", begin)]) + end + 4 - len(self._head)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._waits = False
            self._on_answer(self, self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waits:
            self._waits = False
            self._on_answer(self, LOST)
        else:
            self._on_idle_end(self)


class _Load:
    """Requests on connections: each as soon as it is due and a connection is free."""

    def __init__(self, port: int, request: Request, rate: float | None) -> None:
        self.flood = Flood()
        self._port = port
        self._request = request
        self._rate = rate
        self._numbers = itertools.count()
        self._idle: deque[_Connection] = deque()
        self._due = 0
        """Requests that no connection was free for."""
        self._under_way = 0
        self._goes_on = False
        self._over = False
        self._open: set[_Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(
        self, seconds: float, connections: int, tail_seconds: float, on_begin: Callable[[], None]
    ) -> Flood:
        await asyncio.gather(*(self._connect() for _ in range(connections)))
        on_begin()
        begun = time.monotonic()
        self._goes_on = True
        if self._rate is None:
            for connection in list(self._idle):
                self._ask(connection)
            self._idle.clear()
            await asyncio.sleep(seconds)
        else:
            await self._pace(begun, seconds, self._rate)
        self._goes_on = False
        self.flood.ended = time.monotonic()
        self.flood.unsent, self._due = self._due, 0
        while self._under_way and time.monotonic() < self.flood.ended + tail_seconds:
            await asyncio.sleep(0.01)
        self._over = True
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in list(self._open):
            connection.transport.abort()
        await asyncio.sleep(0)  # connections are lost in the loop's next turn
        return self.flood

    async def _pace(self, begun: float, seconds: float, rate: float) -> None:
        sent = 0
        while (now := time.monotonic()) < begun + seconds:
            while sent < (now - begun) * rate:
                self._due += 1
                sent += 1
            while self._due and self._idle:
                self._due -= 1
                self._ask(self._idle.popleft())
            await asyncio.sleep(_TICK_SECONDS)

    def _ask(self, connection: _Connection) -> None:
        self._under_way += 1
        connection.ask(self._request(next(self._numbers)))

    def _answered(self, connection: _Connection, status: int) -> None:
        self.flood.add(status, connection.sent, time.monotonic())
        self._under_way -= 1
        if connection.transport is None or connection.transport.is_closing():
            self._connect_again(connection)
        else:
            self._go_on(connection)

    def _idled(self, connection: _Connection) -> None:
        """The server closed it while nothing was asked on it."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._connect_again(connection)

    def _connect_again(self, instead_of: _Connection) -> None:
        self._open.discard(instead_of)
        if not self._over:
            self._connecting.add(asyncio.ensure_future(self._connect()))

    def _go_on(self, connection: _Connection) -> None:
        if self._goes_on and self._rate is None:
            self._ask(connection)
        elif self._due:
            self._due -= 1
            self._ask(connection)
        else:
            self._idle.append(connection)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._answered, self._idled), "127.0.0.1", self._port
                )
            except OSError:
                await asyncio.sleep(_AFTER_REFUSAL_SECONDS)
            else:
                self._open.add(connection)
                self._go_on(connection)
                return


def offer(
    port: int,
    request: Request,
    *,
    rate: float | None = None,
    seconds: float,
    connections: int,
    tail_seconds: float = 60,
    on_begin: Callable[[], None] = lambda: None,
) -> Flood:
    """rate: requests a second; None: each connection asks again as soon as it is answered.

    on_begin: called when all connections are made. Returns once all is answered, after `seconds` and at most `tail_seconds`.
    """
    return uvloop.run(_Load(port, request, rate).run(seconds, connections, tail_seconds, on_begin))
