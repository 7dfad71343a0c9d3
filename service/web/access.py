"""Who may come in: the scope that a route needs, the API key that a request presents for it, pages of other origins.

Only where keys are configured; without, an Authorization header is accepted and ignored.
"""

from functools import cache
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from service import metrics
from service.errors import InvalidKey, MissingScope
from service.keys import Charge, Keyring, Scope
from service.web.asgi import AsgiApp, header
from service.web.asgi import Scope as AsgiScope

# What says that the process lives, and pages that show nothing without a key.
OPEN = frozenset(
    {"/livez", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
    | {"/", "/playground/{file}", "/docs", "/openapi.json", "/static_content/"}
)
# The first that a route's pattern begins with; what is not here is for admin.
_SCOPES: list[tuple[str, Scope]] = [
    ("/v1/admin/", "admin"),
    ("/v2/repository/models/", "admin"),
    ("/v1/", "sample"),
    ("/v2", "sample"),
    ("/sample", "sample"),
    ("/schema.json", "sample"),
    ("/metrics", "metrics"),
]


@cache
def scope_of(route: str) -> Scope | None:
    """What a key must be for, by the route's pattern; None where none is needed."""
    if route in OPEN:
        return None
    for begin, scope in _SCOPES:
        if route.startswith(begin):
            return scope
    return "admin"


def enter(keyring: Keyring, route: str, credential: str | None) -> Charge | None:
    """The account of a request; None at an open route. Raises InvalidKey, MissingScope.

    credential: as Authorization has it.
    """
    scope = scope_of(route)
    if scope is None:
        return None
    if credential is None:
        raise InvalidKey(
            "This service needs an API key, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.",
            'Bearer realm="ganserve"',
        )
    scheme, _, secret = credential.partition(" ")
    key = keyring.find(secret.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise InvalidKey(
            "The API key is not known here; it goes as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.",
            'Bearer realm="ganserve", error="invalid_token"',
        )
    if scope not in key.scopes:
        metrics.child(metrics.key_requests, key.name, MissingScope.status).inc()
        raise MissingScope(
            f"The key {key.name} is for {', '.join(sorted(key.scopes))}; this needs the scope {scope}.",
            f'Bearer realm="ganserve", error="insufficient_scope", scope="{scope}"',
        )
    return Charge(key)


def credential(scope: AsgiScope) -> str | None:
    """What a request presents, as Authorization has it."""
    authorization = header(scope, b"authorization")
    if authorization is not None:
        return authorization
    secret = header(scope, b"x-api-key")
    return None if secret is None else f"Bearer {secret}"


def cors(app: AsgiApp, origins: list[str]) -> AsgiApp:
    """`app`, whose replies pages of these origins may read. Cookies and HTTP authentication stay out of it."""
    answering: Any = CORSMiddleware(
        app,  # pyright: ignore[reportArgumentType]
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["authorization", "content-type", "traceparent", "x-api-key", "x-request-id"],
        expose_headers=_EXPOSED,
        max_age=600,
    )
    return answering


_EXPOSED = ["etag", "retry-after", "server-timing", "x-request-id"] + [
    f"ganserve-{what}" for what in ("engine", "error", "labels", "model", "seeds", "version")
]
