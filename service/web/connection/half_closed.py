"""A client that says that it will send no more, and still waits for its answer: `nc -N`, shutdown(SHUT_WR).

Whoever closes the whole connection looks the same until something is sent to it, which is answered by a reset. So who
waits for long behind an end of its own hears `100 Continue` now and then, which means nothing to it (RFC 9110, 15.2):
the first is answered, the second fails, and what was queued is dropped.
"""

import asyncio
from typing import Any

from service.web.connection.turns import TurnsProtocol

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# After which the interval doubles. Abandoned requests that are answered sooner are computed, as in `asgi`.
_FIRST_SECONDS = 0.25


class HalfClosedProtocol(TurnsProtocol):
    """Answers what was asked before the client's end, and closes. Not with TLS, which knows no such thing."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.has_ended = False
        """Whether the client will send no more."""
        self._asking: asyncio.TimerHandle | None = None

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.lingers or not self.is_owed() or self.transport.get_extra_info("sslcontext"):
            return False
        if not self.has_ended:
            self.has_ended = True
            self._asking = self.loop.call_later(_FIRST_SECONDS, self._ask_whether_it_is_there, _FIRST_SECONDS)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asking is not None:
            self._asking.cancel()
        super().connection_lost(exc)

    def look_again(self) -> None:
        super().look_again()
        self._close_if_all_is_said()

    def have_turn(self) -> None:
        super().have_turn()
        self._close_if_all_is_said()

    def end(self, unread: bool = False) -> None:
        super().end(unread and not self.has_ended)

    def is_unread(self) -> bool:
        return not self.has_ended and super().is_unread()

    def is_owed(self) -> bool:
        """Whether the client waits for an answer to what it has sent whole."""
        return self.waits or (self.is_busy() and not self.reads and not self.lingers)

    def may_be_told(self) -> bool:
        """Whether an interim response may be sent now: not within another, nor to who knows of none."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return not (self.pipeline or cycle.response_started or cycle.scope["http_version"] == "1.0")

    def _close_if_all_is_said(self) -> None:
        if self.has_ended and not self.is_owed():
            self.transport.close()

    def _ask_whether_it_is_there(self, seconds: float) -> None:
        if self.transport.is_closing():
            return
        # An answer would have asked as well.
        is_silent = self.answered_at < self.loop.time() - _FIRST_SECONDS and not self.flow.write_paused
        if is_silent and self.may_be_told():
            self.transport.write(_CONTINUE)
        self._asking = self.loop.call_later(seconds, self._ask_whether_it_is_there, 2 * seconds)
