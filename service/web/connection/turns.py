"""No connection has more than its turn: what a client sends ahead waits until those beside it have been looked after.

A packet may hold thousands of requests, or of tiny chunks, and a client that reads nothing can send packet upon packet.
Read to its end at once, one such connection held up every other for a second, and fifty of them for good.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from service.web.connection.limits import LimitedProtocol

MOST_HELD_BYTES = 65536
"""Of what has come and waits; a read more may come on top, 256 KiB with uvloop. Who sends as much in one read takes
turns in being read, too: libuv would read 32 times as much at a stretch."""
_TURN_SECONDS = 0.001
# Of uvicorn's parser, between two looks at the clock: some 350 chunks of one byte take half a millisecond.
_PIECE_BYTES = 2048
_BODY_PIECE_BYTES = 65536
_HEAD_END = b"\r\n\r\n"


class Turns:
    """The connections of a server that have more to do: one of them goes on in each turn of the event loop."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, go_on: Callable[[], None]) -> None:
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        go_on = self._waiting.popleft()
        if self._waiting:
            self._loop.call_soon(self._next)
        go_on()


class _Wishes:
    """What uvicorn takes for the reading side of its transport: whether it wants to have more."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.pause_reading = lambda: None
        self.resume_reading = changed


class TurnsProtocol(LimitedProtocol):
    """Begins one request at a time, and the next one once the answer has been taken and its turn has come."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.arrived = b""
        """What has come and was not begun."""
        self._turns: Turns = vars(server_state).setdefault("turns", Turns(self.loop))
        self.waits = False
        """For its turn."""
        self._is_paused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        wishes: Any = _Wishes(self.look_again)
        self.flow = FlowControl(wishes)

    def data_received(self, data: bytes) -> None:
        if self.throws_away():
            self.throw_away(len(data))
        if not self.lingers:
            self.arrived = self.arrived + data if self.arrived else data
            if self._turns and len(self.arrived) > _PIECE_BYTES:
                self.look_again()
            elif not self.waits:
                self._go_on()
        if len(data) > MOST_HELD_BYTES or len(self.arrived) > MOST_HELD_BYTES:
            self._is_paused = True
            self.transport.pause_reading()
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self.arrived = b""
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.look_again()

    def is_answering(self) -> bool:
        return self.waits or super().is_answering()

    def is_unread(self) -> bool:
        return bool(self.arrived) or self._is_paused or super().is_unread()

    def is_busy(self) -> bool:
        """Whether what has arrived must wait for an answer to be made or taken, or for uvicorn to want it."""
        return (
            self.flow.write_paused
            or self.flow.read_paused
            or self.lingers
            or self.transport.is_closing()
            or not (self.reads or self.cycle is None or self.cycle.response_complete)
        )

    def begin(self) -> None:
        """Begin the request that `arrived` begins with, or read on in the one that has begun, for a turn."""
        until = time.monotonic() + _TURN_SECONDS
        while self.arrived:
            piece = self._piece_bytes()
            data, self.arrived = self.arrived[:piece], self.arrived[piece:]
            self.feed(data)
            if not self.reads or self.is_busy() or time.monotonic() > until:
                return

    def look_again(self) -> None:
        """Something has come to an end that what has arrived may have waited for."""
        if self.arrived and not self.is_busy():
            self._wait()
        self._read_on_if_there_is_room()

    def read_on(self) -> None:
        self.arrived = b""
        self.look_again()

    def have_turn(self) -> None:
        self.waits = False
        self._go_on()
        self._read_on_if_there_is_room()

    def _wait(self) -> None:
        if not self.waits:
            self.waits = True
            self._turns.wait(self.have_turn)

    def _read_on_if_there_is_room(self) -> None:
        if self._is_paused and not self.waits and len(self.arrived) <= MOST_HELD_BYTES:
            self._is_paused = False
            self.transport.resume_reading()

    def _go_on(self) -> None:
        held = len(self.arrived)
        if held and not self.is_busy():
            self.begin()
            if len(self.arrived) < held:
                self.look_again()

    def _piece_bytes(self) -> int:
        """Of the next piece, which ends where a head may end: so no more than one request begins in it."""
        if self.body_bytes_left > _PIECE_BYTES:
            return min(self.body_bytes_left, _BODY_PIECE_BYTES)
        end = self.arrived.find(_HEAD_END, 0, _PIECE_BYTES)
        return _PIECE_BYTES if end < 0 else end + len(_HEAD_END)
