"""What is in front of everything: a request to its route, errors to replies, every request counted."""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext

from service import metrics
from service.drawing.draw import Draw
from service.errors import MethodNotAllowed, QueueFull
from service.keys import Charge, Keyring
from service.keys import Scope as KeyScope
from service.registry import desired_state
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.web.clients import bento
from service.web.connection.refusals import Refusals
from service.web.error_shapes import shape_at
from service.web.http import access, compression, trace
from service.web.http.asgi import (
    BEGUN,
    CLIENT_GONE,
    AsgiApp,
    Call,
    ClientGone,
    Message,
    Receive,
    Reply,
    Scope,
    Send,
    Streamed,
    header,
    send_reply,
    send_streamed,
)
from service.web.http.spans import Spans
from service.web.routes import STATIC, find, methods_of, scope_of


class Front:
    """The ASGI app in front of BentoML's, which gets only its own native routes and static files.

    So nothing of BentoML's stack (timers, tracing, index page, a time series for each path) is on the
    way of a sample. `native` are the paths of `@bentoml.api` methods. Who may come in: access.py.
    """

    def __init__(
        self,
        models: Models,
        bento_app: AsgiApp,
        native: frozenset[str],
        keyring: Keyring | None = None,
        token: str | None = None,
    ) -> None:
        """token: what orders may be given with in the place of a key."""
        self.models = models
        self._keyring = keyring
        self._token = token
        origins = models.settings.origins
        self._app: AsgiApp = access.cors(self._answer, origins) if origins else self._answer
        # In a container BentoML starts no worker again.
        self.rollout = Rollout(models, desired_state.folder(), "BENTOML_CONTAINERIZED" not in os.environ)
        self.draining = False
        self.end: Callable[[], None] | None = None
        """Ends the server as SIGTERM does; None where nobody started one."""
        self.spans = Spans()
        self.refusals = Refusals()
        self._bento_app = bento_app
        self._native = native
        self._passed_on = native | {bento.SCHEMA} if native else native

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._bento_app(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def enter(self, scope: KeyScope | None, credential: str | None) -> Charge | None:
        """The account of a request, where it has a key. scope: what the key must be for; None where none is needed.

        Raises InvalidKey, MissingScope, LocalOnly.
        """
        return access.enter(self._keyring, self._token, scope, credential)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = scope.get(BEGUN) or time.monotonic()
        route, code, charge, call, media_type = "unknown", 500, None, None, ""
        id = trace.request_id(header(scope, b"x-request-id"))
        traceparent = header(scope, b"traceparent")
        try:
            path = scope["path"]
            if path.startswith(STATIC):
                route, reply = STATIC, await compression.encoded(scope, await self._static(scope, receive))
                code = reply.status
                await send_reply(send, reply, id)
                return
            if path in self._passed_on:
                route = path
                charge = self.enter(scope_of(route), access.credential(scope))
                call = self.call(scope, receive, begun, charge)
                code = await self._pass_on(call, send, id)
                return
            row, parameters = find(scope)
            route, method = row.path, row.method
            charge = self.enter(row.scope, access.credential(scope))
            if charge is None and row.scope == "admin":
                access.refuse_pages(scope)
            if scope["method"] != method and not (scope["method"] == "HEAD" and method == "GET"):
                raise MethodNotAllowed(scope["method"], methods_of(row))
            assert row.handler is not None
            call = self.call(scope, receive, begun, charge)
            reply = await row.handler(call, **parameters)
            code, media_type = reply.status, reply.media_type
            if isinstance(reply, Streamed) and scope["method"] == "HEAD":
                await send_reply(send, Reply(code, media_type, headers=reply.headers), id)
            elif isinstance(reply, Streamed):
                before = time.monotonic() - begun
                await send_streamed(send, receive, reply, id)
                if reply.endless:  # how long somebody looks says nothing of the service
                    begun = time.monotonic() - before
            else:
                reply = await compression.encoded(scope, reply)
                code = reply.status
                await send_reply(send, reply, id)
        except ClientGone:
            code = CLIENT_GONE
        except Exception as error:
            traceparent = self.spans.traceparent(traceparent)
            async with self.refusals.turn() if isinstance(error, QueueFull) else nullcontext():
                reply = shape_at(scope["path"]).reply(error, trace.who(id, traceparent))
                code = reply.status
                await send_reply(send, reply, id)
        finally:
            draw = None if call is None else call.draw
            self.count(route, scope["method"], code, begun, charge, traceparent, draw, media_type)

    def count(
        self,
        route: str,
        method: str,
        code: int,
        begun: float,
        charge: Charge | None,
        traceparent: str | None,
        draw: Draw | None = None,
        media_type: str = "",
    ) -> None:
        """A request that has ended.

        route: its pattern; code: of HTTP; begun: when its head came, in time.monotonic() seconds. draw, media_type: what it
        asked for and got, where it came so far.
        """
        seconds = time.monotonic() - begun
        metrics.child(metrics.requests, route, code).inc()
        metrics.child(metrics.request_seconds, route).observe(seconds)
        if charge is not None:
            charge.settle(code)
        self.spans.record(route, method, code, begun, traceparent, draw, media_type)

    def stop_being_ready(self) -> None:
        self.draining = True
        metrics.ready.set(0)

    def drain(self) -> None:
        """Not ready from now on; still answering for the grace period; then the server ends."""
        self.stop_being_ready()
        if self.end is not None:
            self.end()

    def call(self, scope: Scope, receive: Receive, begun: float, charge: Charge | None) -> Call:
        """A request that was let in."""
        return Call(
            *(scope, receive, self.models, self.draining, self.rollout, self.drain, begun, charge),
            lambda: self.draining,
        )

    async def _static(self, scope: Scope, receive: Receive) -> Reply:
        """The whole of a file that BentoML has, which answers for a part of one, or for none that is new."""
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"], ["GET", "HEAD"])
        start: Message = {}
        parts: list[bytes] = []

        async def note(message: Message) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            parts.append(message.get("body", b""))

        await self._bento_app({**scope, "method": "GET", "headers": []}, receive, note)
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in start["headers"]}
        kept = {name: headers[name] for name in ("etag", "last-modified") if name in headers}
        kind = headers.get("content-type", "text/plain")
        return Reply(start["status"], kind, b"".join(parts), kept | {"x-content-type-options": "nosniff"})

    async def _pass_on(self, call: Call, send: Send, id: str) -> int:
        """Let BentoML answer, under our limits. Returns the status it sent."""
        scope, receive = call.scope, call.receive
        if scope["path"] in self._native:
            if scope["method"] != "POST":
                raise MethodNotAllowed(scope["method"], ["POST"])
            scope[bento.CALL] = call
            receive = await bento.checked(call)
        elif scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"], ["GET", "HEAD"])
        status = 500

        async def note_status(message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(b"x-request-id", id.encode("latin-1")), (b"x-content-type-options", b"nosniff")]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._bento_app(scope, receive, note_status)
        return status
