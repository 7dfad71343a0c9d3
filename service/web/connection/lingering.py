"""A connection whose end its client hears of: what is refused before it was read to its end is read on, and thrown away.

A socket that is closed while there is something to read resets the connection, and with it goes the reply that was
just sent: Python's http.client, which reads nothing before it has sent all, only ever saw the reset. So the service
sends its reply, says that no more will come, and listens for a while, as nginx does (`lingering_close`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.web.connection.timeouts import TimedProtocol

MOST_SECONDS = 30.0  # nginx's lingering_time
SILENT_SECONDS = 5.0  # nginx's lingering_timeout: without a byte for so long, nothing more comes
MOST_BYTES = 64 * 2**20
_HEADS = tuple(b"HTTP/1.1 %d" % kind for kind in (2, 3, 4, 5))
_MOST_JOINED_BYTES = 65536  # more is copied for nothing: it does not leave at once


class _Ending:
    """What uvicorn's requests take for their transport.

    A reply's head goes out with what comes next, at the latest in the next turn of the event loop: of a process that is
    killed between the two a balancer would have a head, after which it can't ask another replica.
    """

    def __init__(self, transport: Any, close: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self.is_closing = transport.is_closing
        self._write, self._close, self._loop = transport.write, close, loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if data.startswith(_HEADS):
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head and len(data) < _MOST_JOINED_BYTES:
            data, self._head = self._head + data, b""
            self._write(data)
        else:
            self.flush()
            self._write(data)

    def flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def close(self) -> None:
        self.flush()
        self._close()


class LingeringProtocol(TimedProtocol):
    """Reads on for a bounded while where a reply was sent before its request had ended, whether or not it closes."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.reads = False
        """Whether a request has begun here and not ended."""
        self.lingers = False
        """Whether all has been said, and what still comes is thrown away."""
        self._ending: Any = None
        self.is_stopping = False
        self._unheard_bytes = 0
        self._heard_at = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._ending = _Ending(transport, self.end, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.reads = True
        self._unheard_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = self._ending
        if self.expect_100_continue:
            self._close_unless_taken(self.cycle)

    def on_message_complete(self) -> None:
        self.reads = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._ending is not None:
            self._ending.flush()  # the answer had no body
        super().on_response_complete()

    def shutdown(self) -> None:
        self.is_stopping = True
        if self.lingers:
            self.transport.close()
        else:
            super().shutdown()

    def until(self, now: float) -> float:
        until = super().until(now)
        if not self.throws_away():
            return until
        return min(self.answered_at + MOST_SECONDS, max(self.answered_at, self._heard_at) + SILENT_SECONDS)

    def give_up(self) -> None:
        if self.throws_away():
            self.cut_off()
        else:
            super().give_up()

    def end(self, unread: bool = False) -> None:
        """Close once the reply that was written has been sent, and heard. unread: more was sent than was asked for."""
        if self.lingers or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what it would still send would be an error
            self.cycle.message_event.set()
        if self.is_stopping or not (unread or self.is_unread()):
            self.transport.close()
            return
        self.lingers = True
        self.answered_at = self.loop.time()
        if self.transport.can_write_eof():  # with TLS it cannot; there the reply's length has to do
            self.transport.write_eof()
        self.read_on()
        self.arm(min(SILENT_SECONDS, MOST_SECONDS))

    def read_on(self) -> None:
        """Whatever was held is nobody's, and whatever comes may come."""

    def is_unread(self) -> bool:
        """Whether there may be something that nobody has read."""
        return self.reads or self.flow.read_paused

    def throws_away(self) -> bool:
        """Whether what comes belongs to a request that has been answered."""
        return self.lingers or (self.reads and not self.head_since and self.cycle.response_complete)

    def throw_away(self, bytes: int) -> None:
        """So much more has come, for nobody."""
        self._unheard_bytes += bytes
        self._heard_at = self.loop.time()
        if self._unheard_bytes > MOST_BYTES:
            self.cut_off()

    def _close_unless_taken(self, cycle: Any) -> None:
        """Who waits for `100 Continue` and hears something else may send the body all the same, or another request.

        So nothing that comes behind such a reply can be told apart, and the connection ends with it.
        """
        keeps_alive, receive = cycle.keep_alive, cycle.receive
        cycle.keep_alive = False

        async def receive_and_say_so() -> Any:
            cycle.keep_alive = keeps_alive
            return await receive()

        cycle.receive = receive_and_say_so
