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


@dataclass
class Flood:
    """What came of a load: of each request its status, when it was due, and the seconds from then to its answer."""

    statuses: list[int] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    """time.monotonic() seconds."""
    seconds: list[float] = field(default_factory=list)
    ended: float = 0.0
    """When the last request was due."""

    def add(self, status: int, due: float, now: float) -> None:
        self.statuses.append(status)
        self.due.append(due)
        self.seconds.append(now - due)

    def count(self, status: int) -> int:
        return self.statuses.count(status)

    def quantile(self, status: int, level: float) -> float:
        """Of the seconds of the answers with that status; NaN if there are none."""
        found = [s for s, code in zip(self.seconds, self.statuses, strict=True) if code == status]
        return float(np.quantile(found, level)) if found else float("nan")

    def answered_in(self, status: int, begin: float, end: float) -> int:
        """How many answers with that status came in that time."""
        came = np.array(self.due) + np.array(self.seconds)
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

    def __init__(self, on_answer: Callable[["_Connection", int], None]) -> None:
        self._on_answer = on_answer
        self.due = 0.0
        self._missing = -1
        """Bytes of the answer's body to come; -1: its head has not ended."""
        self._head = b""
        self._status = LOST
        self._waits = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        self.due, self._waits, self._missing, self._head = due, True, -1, b""
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


async def _offer(
    port: int, request: Request, rate: float | None, seconds: float, connections: int, tail_seconds: float
) -> Flood:
    loop = asyncio.get_running_loop()
    flood = Flood()
    numbers = itertools.count()
    idle: deque[_Connection] = deque()
    waiting: deque[float] = deque()
    begun = time.monotonic()
    end = begun + seconds
    under_way = 0

    def answered(connection: _Connection, status: int) -> None:
        nonlocal under_way
        now = time.monotonic()
        flood.add(status, connection.due, now)
        under_way -= 1
        if connection.transport is None or connection.transport.is_closing():
            reconnecting.add(loop.create_task(connect()))
        else:
            go_on(connection, now)

    def go_on(connection: _Connection, now: float) -> None:
        nonlocal under_way
        if rate is None and now < end:
            due = now
        elif waiting:
            due = waiting.popleft()
        else:
            idle.append(connection)
            return
        under_way += 1
        connection.ask(request(next(numbers)), due)

    async def connect() -> None:
        try:
            _, connection = await loop.create_connection(lambda: _Connection(answered), "127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            reconnecting.add(loop.create_task(connect()))
            return
        go_on(connection, time.monotonic())

    reconnecting: set[asyncio.Task[None]] = set()
    if rate is None:
        await asyncio.gather(*(connect() for _ in range(connections)))
        await asyncio.sleep(max(0.0, end - time.monotonic()))
    else:
        rate, closed = rate, rate
        del closed
        end = begun  # while they are made, none is asked
        await asyncio.gather(*(connect() for _ in range(connections)))
        begun = time.monotonic()
        end = begun + seconds
        sent = 0
        while (now := time.monotonic()) < end:
            for k in range(sent, int((now - begun) * rate)):
                waiting.append(begun + k / rate)
                sent = k + 1
            while waiting and idle:
                connection = idle.popleft()
                if connection.transport is not None:
                    go_on(connection, now)
            await asyncio.sleep(_TICK_SECONDS)
    flood.ended = time.monotonic()
    for due in waiting:  # nothing was free to send them on
        flood.add(LOST, due, flood.ended)
    waiting.clear()
    while under_way and time.monotonic() < flood.ended + tail_seconds:
        await asyncio.sleep(0.01)
    for task in reconnecting:
        task.cancel()
    for connection in idle:
        if connection.transport is not None:
            connection.transport.abort()
    return flood


def offer(
    port: int,
    request: Request,
    *,
    rate: float | None = None,
    seconds: float,
    connections: int,
    tail_seconds: float = 60,
) -> Flood:
    """rate: requests a second; None: each connection asks again as soon as it is answered.

    Returns once all is answered, after `seconds` and at most `tail_seconds`.
    """
    return uvloop.run(_offer(port, request, rate, seconds, connections, tail_seconds))
