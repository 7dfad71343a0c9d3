"""POST /v1/samples straight from the connection: no ASGI scope, task or event a request.

A connection is uvicorn's, and so is every request that is not plainly one of these; see docs/performance.md.
"""

import asyncio
import re
import time
from functools import lru_cache
from typing import Any, cast

from msgspec import Struct

from service import metrics
from service.drawing.draw import Draw
from service.drawing.formats import preferred
from service.errors import BodyTimeout, QueueFull
from service.keys import Charge
from service.registry.model import Idle
from service.web.connection.half_closed import HalfClosedProtocol
from service.web.connection.limits import HOST, MOST_FIELDS
from service.web.connection.refusals import Refusal
from service.web.connection.turns import MOST_HELD_BYTES
from service.web.http import trace
from service.web.http.asgi import BEGUN, CLIENT_GONE, NO_BODY, Reply, Scope
from service.web.http.bodies import JSON_TYPE
from service.web.http.problems import reply_to
from service.web.v1.samples import SAMPLES, Sampling, begin_samples

_START = b"POST %b HTTP/1.1\r\n" % SAMPLES.encode()
# Stricter than HTTP, so that no two readers can disagree: whatever else is left to uvicorn's parser.
_HEAD = re.compile(re.escape(_START) + rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n")
_LEFT_TO_UVICORN = {b"transfer-encoding", b"expect", b"upgrade", b"content-encoding"}
# How a key is presented; each such field is cut out before a head is kept.
_CREDENTIAL = re.compile(rb"\r\n((?i:authorization|x-api-key)):([\t\x20-\x7e\x80-\xff]*)(?=\r\n)")
_SECRET = re.compile(rb"(?i)authorization|api-key|cookie")
_MOST_HEAD_BYTES = 8192
_MOST_HEADS = 1024


class Wire(HalfClosedProtocol):
    """One connection. Requests are answered one after another, in the order in which they came."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._front = config.app
        self._sampling: Sampling | None = None
        """The request that is being answered here."""
        self._charge: Charge | None = None
        """What it takes of its key's quotas."""
        self._closes = False
        self._held: Refusal | None = None
        """The refusal that waits to be sent."""
        self._body_timer: asyncio.TimerHandle | None = None
        self._began_at = 0.0
        """When its head came."""
        self._id = ""
        self._traceparent: str | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # uvloop accepts one connection a turn; with a pass between, the last of a crowd would wait for as many passes.
        if batcher := self._front.models.batcher:
            batcher.give_way()
        if self._front.models.settings.workers > 1:
            # Without a pause one worker gets most of a crowd.
            time.sleep(0.0002)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._body_timer:
            self._body_timer.cancel()
        if self._sampling is not None:
            self._sampling.cancel()
            self._count(CLIENT_GONE, self._sampling.draw)
            self._sampling = None
        if self._held is not None:
            self._held = None
            self._count(CLIENT_GONE)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._sampling is None and self._held is None:
            super().shutdown()
        else:
            self._closes = self.is_stopping = True

    def is_answering(self) -> bool:
        waits = self._held is not None or self._body_timer is not None
        return self._sampling is not None or waits or super().is_answering()

    def is_busy(self) -> bool:
        return self._sampling is not None or self._held is not None or super().is_busy()

    def begin(self) -> None:
        settings = self._front.models.settings
        ours = None if self.reads else head_here(self.arrived)
        if (
            ours is None
            or ours.body_bytes > settings.max_body_bytes
            or ours.bytes + ours.body_bytes > MOST_HELD_BYTES
            or (ours.has_origin and settings.cors_origins)
        ):
            super().begin()
            return
        whole = ours.bytes + ours.body_bytes
        if len(self.arrived) < whole:
            if self._body_timer is None:
                self._began_at = time.monotonic()
                seconds = settings.timeout_seconds
                self._body_timer = self.loop.call_later(seconds, self._body_is_late, seconds)
            return
        if self._body_timer:
            self._body_timer.cancel()
            self._body_timer = None
        else:
            self._began_at = time.monotonic()
        request, self.arrived = self.arrived[:whole], self.arrived[whole:]
        self._id, self._traceparent = trace.request_id(ours.request_id), ours.traceparent
        try:
            self._begin(request[ours.bytes :], ours)
        except Idle:  # a task can wait for it
            self.feed(request)
            if self.cycle is not None:
                cast(Scope, self.cycle.scope)[BEGUN] = self._began_at

    def _begin(self, body: bytes, head: "Head") -> None:
        """Raises Idle."""
        front = self._front
        try:
            self._charge = front.enter("sample", head.credential)
            # Before the body is read: in a flood most end here.
            if (batcher := front.models.batcher) and (full := batcher.admission.full(self._began_at)):
                self._hold(_refusal_of(full))
                return
            self._sampling = begin_samples(
                body, front.models, self._began_at, self._settle, self._charge, head.accepted
            )
        except Idle:
            self._charge = None  # taken again there
            raise
        except QueueFull as error:
            # Not the error: it has all of its request by its traceback.
            self._hold(Refusal(reply_to(error)))
        except Exception as error:
            self._send(reply_to(error, self._who()))

    def _hold(self, refusal: Refusal) -> None:
        self._held = refusal
        self._front.refusals.send(self._refuse_held)

    def _refuse_held(self) -> None:
        refusal, self._held = self._held, None
        if refusal is not None:  # else the client has gone
            self._send(refusal.reply, head=refusal.head(self.server_state.default_headers))
            self.look_again()

    def _who(self) -> dict[str, str]:
        self._traceparent = self._front.spans.traceparent(self._traceparent)
        return trace.who(self._id, self._traceparent)

    def _settle(self, answer: Any, error: BaseException | None) -> None:
        sampling, self._sampling = self._sampling, None
        assert sampling is not None
        reply = sampling.reply(answer) if error is None else reply_to(error, self._who())
        self._send(reply, sampling.draw)
        self.look_again()

    def _send(self, reply: Reply, draw: Draw | None = None, head: bytes = b"") -> None:
        """head: of the reply, if it is made already."""
        self._count(reply.status, draw, reply.media_type)
        self.server_state.total_requests += 1
        closes = self._closes or reply.headers.get("connection") == "close"
        self.send_reply(reply, self._id, self._closes, head)
        if closes:
            self.end()
            return
        self.answered_at = self.loop.time()

    def _body_is_late(self, seconds: float) -> None:
        self._closes = True
        self._id = trace.request_id(None)
        self._send(reply_to(BodyTimeout(NO_BODY.format(seconds))))

    def _count(self, code: int, draw: Draw | None = None, media_type: str = "") -> None:
        metrics.child(metrics.requests, SAMPLES, code).inc()
        seconds = time.monotonic() - self._began_at
        metrics.child(metrics.request_seconds, SAMPLES).observe(seconds)
        if self._charge is not None:
            self._charge.settle(code)
            self._charge = None
        self._front.spans.record(SAMPLES, "POST", code, self._began_at, self._traceparent, draw, media_type)


@lru_cache(4)
def _refusal_of(full: QueueFull) -> Refusal:
    """The same for all whom it refuses."""
    return Refusal(reply_to(full))


class Head(Struct):
    """What matters of a head that is answered here."""

    bytes: int
    body_bytes: int
    request_id: str | None
    traceparent: str | None
    has_origin: bool
    accepted: str | None = None
    """The format that Accept likes best, if it says so."""
    credential: str | None = None
    """As Authorization has it."""


def head_here(data: bytes) -> Head | None:
    """The head of a request that is answered here; None for any other, or half a head."""
    end = data.find(b"\r\n\r\n") + 4
    if not (4 <= end <= _MOST_HEAD_BYTES and data.startswith(_START)):
        return None
    head = data[:end]
    return _heads.get(head) or _new_head(head)


# A client's requests have all but the same head. None has a secret in it.
_heads: dict[bytes, Head] = {}


def _new_head(head: bytes) -> Head | None:
    if match := _CREDENTIAL.search(head):
        rest = head_here(head[: match.start()] + head[match.end() :])
        if rest is None or rest.credential is not None:
            return None
        credential = match[2].strip(b" \t").decode("latin-1")
        if match[1][0] in b"xX":
            credential = f"Bearer {credential}"
        return Head(
            len(head),
            rest.body_bytes,
            rest.request_id,
            rest.traceparent,
            rest.has_origin,
            rest.accepted,
            credential,
        )
    found = _read_head(head)
    # What could not be read might be a secret's second half.
    if found is not None and not _SECRET.search(head):
        if len(_heads) >= _MOST_HEADS:
            _heads.clear()
        _heads[head] = found
    return found


def _read_head(head: bytes) -> Head | None:
    if not _HEAD.fullmatch(head):
        return None
    lines = [line.partition(b":") for line in head[len(_START) : -4].split(b"\r\n")]
    fields = {name.lower(): value.strip(b" \t") for name, _, value in lines}
    length = fields.get(b"content-length", b"")
    if (
        not len(lines) == len(fields) < MOST_FIELDS
        or fields.keys() & _LEFT_TO_UVICORN
        or not length.isdigit()
        or not HOST.fullmatch(fields.get(b"host", b""))
    ):
        return None
    if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive" or len(length) > 9:
        return None
    if not JSON_TYPE.match(fields.get(b"content-type", b"application/json").decode("latin-1")):
        return None
    id, parent = (fields.get(name) for name in (b"x-request-id", b"traceparent"))
    return Head(
        len(head),
        int(length),
        None if id is None else id.decode("latin-1"),
        None if parent is None else parent.decode("latin-1"),
        b"origin" in fields,
        preferred(fields[b"accept"].decode("latin-1")) if b"accept" in fields else None,
    )
