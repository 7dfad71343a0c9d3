"""A connection with limits on what it would hold without end: URL, header fields, trailers.

Bodies have their own limit, in `asgi.read_body`. What asks for another protocol is answered in this one.
"""

import re
from collections.abc import Sequence
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service import metrics
from service.errors import HeadTooLarge, RequestError, UrlTooLong
from service.web.connection.lingering import LingeringProtocol
from service.web.http import trace
from service.web.http.asgi import Reply
from service.web.http.problems import reply_to

MOST_URL_BYTES = 8192
MOST_HEAD_BYTES = 65536
MOST_FIELDS = 100
HOST = re.compile(rb"[0-9A-Za-z._~%!$&'()*+,;=:\[\]-]*")
"""What a Host field may hold (RFC 9112, section 3.2). None at all is read, too: nginx passes on so what HTTP/1.0 asked for."""

_HEAD = (
    f"The header fields may have {MOST_HEAD_BYTES} bytes together, and there may be {MOST_FIELDS} of them."
)


DefaultHeaders = Sequence[tuple[bytes, bytes]]
"""uvicorn's, of every reply; another object for every second."""


def head_of(reply: Reply, default_headers: DefaultHeaders) -> bytes:
    """What is sent before the id of the request."""
    default = b"".join([b"%b: %b\r\n" % header for header in default_headers])
    lines = [f"content-type: {reply.media_type}\r\ncontent-length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines.append("x-request-id: ")
    return b"".join((STATUS_LINE[reply.status], default, "\r\n".join(lines).encode("latin-1")))


class LimitedProtocol(LingeringProtocol):
    """What goes past a limit is answered with 414 or 431, and the connection is closed."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_is_read = False
        self._has_host = False
        self._head_bytes = 0
        self._fields = 0
        self.body_bytes_left = 0
        """What is to come of a body whose length is known."""
        self._held_bytes = 0
        """At least what the parser keeps of what came: half a field, or half a chunk's head."""
        self._refusal: RequestError | None = None

    def feed(self, data: bytes) -> None:
        """Have uvicorn's parser read this."""
        self._held_bytes += len(data)
        self._parse(data)
        if self.reads and self._held_bytes > MOST_HEAD_BYTES and not self.lingers:
            self._refuse(reply_to(HeadTooLarge(_HEAD)))

    def on_message_begin(self) -> None:
        self._head_is_read = False
        self._has_host = False
        self._head_bytes = self._fields = self._held_bytes = self.body_bytes_left = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > MOST_URL_BYTES:
            self._refusal = UrlTooLong(f"The URL may have {MOST_URL_BYTES} bytes.")
            raise self._refusal
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._held_bytes = 0
        self._fields += 1
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MOST_HEAD_BYTES or self._fields > MOST_FIELDS:
            self._refusal = HeadTooLarge(_HEAD)
            raise self._refusal
        if not self._head_is_read:  # a trailer would pass for a header
            super().on_header(name, value)
            kind = self.headers[-1][0]
            if kind == b"content-length":
                self.body_bytes_left = int(value)
            elif kind == b"host":
                # A proxy may have gone by the other.
                if self._has_host or not HOST.fullmatch(value):
                    raise httptools.HttpParserError("two hosts, or none that is one")
                self._has_host = True
            elif kind == b"transfer-encoding" and value.lower() != b"chunked":
                self._refusal = RequestError("Of transfer codings this server knows chunked alone.")
                raise self._refusal

    def on_headers_complete(self) -> None:
        self._head_is_read = True
        if (
            self.parser.get_http_version() == "1.0"
        ):  # which knows of no interim reply (RFC 9110, section 10.1.1)
            self.expect_100_continue = False
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        self.body_bytes_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up, of itself or because a limit was passed."""
        self._refuse(reply_to(self._refusal or RequestError(msg)))

    def send_reply(self, reply: Reply, id: str, closes: bool = False, head: bytes = b"") -> None:
        """Write a whole response. head: what head_of makes of it, if it is made already."""
        head = head or head_of(reply, self.server_state.default_headers)
        end = b"\r\nconnection: close\r\n\r\n" if closes else b"\r\n\r\n"
        self.transport.write(b"".join((head, id.encode("latin-1"), end, reply.body)))

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                    self._read_without_upgrade()
        except httptools.HttpParserError:
            self.send_400_response("That is no HTTP/1.1, or two servers could read it in two ways.")

    def _read_without_upgrade(self) -> None:
        """Read the head again, as one that asks for no other protocol (RFC 9110, section 7.8).

        The parser takes what follows such a head for the other protocol's, and uvicorn would take a body that comes
        in the next packet for a request. Java's client asks for HTTP/2 in this way by default.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("a tunnel")
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields)))

    def _refuse(self, reply: Reply) -> None:
        """Of a request that could not be read."""
        # While an earlier request is being answered, this answer would be taken for its.
        if not self.is_answering() or (self.reads and self._head_is_read and not self.cycle.response_started):
            self.send_reply(reply, trace.request_id(None), closes="connection" not in reply.headers)
            metrics.child(metrics.requests, "unknown", reply.status).inc()
        self.end(unread=True)
