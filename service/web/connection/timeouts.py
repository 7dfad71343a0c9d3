"""uvicorn's HTTP/1.1 connection, with an end to whatever it waits for its client to do.

Bodies have their own limit, in `asgi.read_body` and `wire`.
"""

import asyncio
from math import inf
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection that sends no head, sends one without end, does not take its answer, or is idle.

    One timer a connection, not one a request, looks now and then how things stand.
    """

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.client_seconds: float = config.app.models.settings.client_seconds
        self._period = max(0.1, min(self.client_seconds, self.timeout_keep_alive))
        self.answered_at = 0.0
        """When the last response was handed over, in the event loop's time; 0: there was none."""
        self._made_at = 0.0
        self.head_since = 0.0
        """When the head began that has not ended; 0: there is none."""
        self._untaken = (0, 0.0)
        """Bytes of responses that the client had not taken, and `answered_at`, when that was last seen to change."""
        self._untaken_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._made_at = self.loop.time()
        self.arm(self._period)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._disarm()  # another protocol has the connection from now on
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        self.head_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.head_since = 0.0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.answered_at = self.loop.time()
        self._unset_keepalive_if_required()  # uvicorn's own timer, a new one for each request

    def is_answering(self) -> bool:
        """Whether it is the client that waits."""
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        now = self.loop.time()
        until = self.until(now)
        if until > now:
            self.arm(min(until - now, self._period))
        else:
            self.give_up()

    def give_up(self) -> None:
        """It was waited for long enough."""
        if self._untaken[0]:
            self.cut_off()
        else:
            self.transport.close()
            self.arm(self._period)  # what is left to send must be taken, too

    def cut_off(self) -> None:
        """End the connection without another word."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # or what it would still send would be an error
        self.transport.abort()

    def until(self, now: float) -> float:
        """When this will have waited too long for the client."""
        untaken = (self.transport.get_write_buffer_size(), self.answered_at)
        if untaken != self._untaken:
            self._untaken, self._untaken_since = untaken, now
        if untaken[0]:
            return self._untaken_since + self.client_seconds
        if self.is_answering():
            return inf
        if self.head_since or not self.answered_at:
            return (self.head_since or self._made_at) + self.client_seconds
        return self.answered_at + self.timeout_keep_alive

    def arm(self, seconds: float) -> None:
        """Look again after so long."""
        self._disarm()
        self._timer = self.loop.call_later(max(0.001, seconds), self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
