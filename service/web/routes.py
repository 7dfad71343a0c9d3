"""Path -> function; errors -> problems; every request counted."""

import os
import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from service import metrics
from service.errors import MethodNotAllowed, QueueFull, UnknownRoute
from service.keys import Charge, Keyring
from service.registry import desired_state
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.web import openapi
from service.web.clients import bento, openai
from service.web.connection.refusals import Refusals
from service.web.http import access, trace
from service.web.http.asgi import (
    BEGUN,
    CLIENT_GONE,
    AsgiApp,
    Call,
    ClientGone,
    Receive,
    Reply,
    Scope,
    Send,
    header,
    send_reply,
)
from service.web.http.problems import reply_to
from service.web.kserve import routes as v2
from service.web.operations import admin, probes
from service.web.pages import routes as pages
from service.web.v1 import addresses, cards, interpolations, samples

Handler = Callable[..., Awaitable[Reply]]

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", samples.SAMPLES, samples.post_samples),
    ("POST", "/v1/interpolations", interpolations.post_interpolations),
    ("POST", "/v1/arithmetic", interpolations.post_arithmetic),
    ("POST", openai.GENERATIONS, openai.post_generations),
    ("GET", "/v1/models", cards.list_models),
    ("GET", "/v1/models/{model}", cards.get_model),
    ("GET", "/v1/models/{model}/images/{file}", addresses.get_image),
    ("GET", "/v1/models/{model}/images/{label}/{file}", addresses.get_image),
    ("GET", "/v2", v2.server_metadata),
    ("GET", "/v2/health/live", v2.live),
    ("GET", "/v2/health/ready", v2.ready),
    ("GET", "/v2/models/stats", v2.stats),
    ("GET", "/v2/models/{model}", v2.model_metadata),
    ("GET", "/v2/models/{model}/ready", v2.model_ready),
    ("GET", "/v2/models/{model}/config", v2.model_config),
    ("GET", "/v2/models/{model}/stats", v2.stats),
    ("POST", "/v2/models/{model}/infer", v2.infer),
    ("GET", "/v2/models/{model}/versions/{version}", v2.model_metadata),
    ("GET", "/v2/models/{model}/versions/{version}/ready", v2.model_ready),
    ("GET", "/v2/models/{model}/versions/{version}/config", v2.model_config),
    ("GET", "/v2/models/{model}/versions/{version}/stats", v2.stats),
    ("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
    ("POST", "/v2/repository/index", v2.index),
    ("POST", "/v2/repository/models/{model}/load", v2.load_or_unload),
    ("POST", "/v2/repository/models/{model}/unload", v2.load_or_unload),
    ("GET", "/v1/admin/models", admin.get_models),
    ("POST", "/v1/admin/models/{model}", admin.post_traffic),
    ("POST", "/v1/admin/models/{model}/retire", admin.post_retire),
    ("POST", "/v1/admin/reload", admin.post_reload),
    ("GET", "/livez", probes.livez),
    ("GET", "/healthz", probes.livez),
    ("GET", "/readyz", probes.readyz),
    ("GET", "/metrics", probes.get_metrics),
    ("POST", probes.DRAIN, probes.post_drain),
    ("GET", "/openapi.json", openapi.get_document),
    ("GET", "/docs", pages.docs),
    ("GET", "/", pages.home),
    ("GET", "/playground/{file}", pages.get_file),
]

_STATIC = "/static_content/"
_FIXED = {path: (method, path, handler) for method, path, handler in ROUTES if "{" not in path}
_PATTERNS = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), (method, path, handler))
    for method, path, handler in ROUTES
    if "{" in path
]


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
        self.spans = trace.Spans()
        self.refusals = Refusals()
        self._bento_app = bento_app
        self._native = native
        self._passed_on = native | {bento.SCHEMA} if native else native

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._bento_app(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def enter(self, route: str, credential: str | None) -> Charge | None:
        """The account of a request, where it has a key. Raises InvalidKey, MissingScope, LocalOnly."""
        return access.enter(self._keyring, self._token, route, credential)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = scope.get(BEGUN) or time.monotonic()
        route, code, charge = "unknown", 500, None
        id = trace.request_id(header(scope, b"x-request-id"))
        traceparent = header(scope, b"traceparent")
        try:
            path = scope["path"]
            if path in self._passed_on or path.startswith(_STATIC):
                route = path if path in self._passed_on else _STATIC
                charge = self.enter(route, access.credential(scope))
                code = await self._pass_on(self._call(scope, receive, begun, charge), send, id)
                return
            (method, route, handler), parameters = _find(scope)
            charge = self.enter(route, access.credential(scope))
            if charge is None and access.scope_of(route) == "admin":
                access.refuse_pages(scope)
            if scope["method"] != method and not (scope["method"] == "HEAD" and method == "GET"):
                raise MethodNotAllowed(scope["method"], [method] if method == "POST" else ["GET", "HEAD"])
            reply = await handler(self._call(scope, receive, begun, charge), **parameters)
            code = reply.status
            await send_reply(send, reply, id)
        except ClientGone:
            code = CLIENT_GONE
        except Exception as error:
            if isinstance(error, QueueFull):
                await self.refusals.wait()
            reply = _in_shape(scope["path"])(error, trace.who(id, traceparent))
            code = reply.status
            await send_reply(send, reply, id)
        finally:
            seconds = time.monotonic() - begun
            metrics.child(metrics.requests, route, code).inc()
            metrics.child(metrics.request_seconds, route).observe(seconds)
            if charge is not None:
                charge.settle(code)
            self.spans.record(route, scope["method"], code, seconds, traceparent)

    def stop_being_ready(self) -> None:
        self.draining = True
        metrics.ready.set(0)

    def drain(self) -> None:
        """Not ready from now on; still answering for the grace period; then the server ends."""
        self.stop_being_ready()
        if self.end is not None:
            self.end()

    def _call(self, scope: Scope, receive: Receive, begun: float, charge: Charge | None) -> Call:
        return Call(scope, receive, self.models, self.draining, self.rollout, self.drain, begun, charge)

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


def _in_shape(path: str) -> Callable[[BaseException, str], Reply]:
    """What makes replies of errors at this path: each foreign protocol has a shape of its own."""
    if v2.is_here(path):
        return v2.error_reply
    return openai.error_reply if openai.is_here(path) else reply_to


def _find(scope: Scope) -> tuple[tuple[str, str, Handler], dict[str, str]]:
    """The route, and the decoded parts of the path that it names. Raises UnknownRoute."""
    path = scope["path"]
    if path in _FIXED:
        return _FIXED[path], {}
    # Parts are split before they are decoded: a slash inside one (`T-shirt%2Ftop`) stays inside.
    raw = scope["raw_path"].split(b"?")[0].decode("latin-1")
    for pattern, route in _PATTERNS:
        if match := pattern.fullmatch(raw):
            return route, {
                name: unquote(value, errors="replace") for name, value in match.groupdict().items()
            }
    raise UnknownRoute(f"There is no {path[:128]}; /docs lists what there is.")
