"""Who may come in: the API key that a request presents for the scope of a route, pages of other origins.

Without keys every route is open but those for admin, which take orders: they need a key with that scope, or the token that
the service wrote to a file of its user's (instance.py). Where a request comes from says nothing: behind a proxy on the same
machine everybody's comes from there.
"""

import hmac
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from service import metrics
from service.errors import InvalidKey, LocalOnly, MissingScope
from service.keys import Charge, Keyring, Scope
from service.web.http.asgi import AsgiApp, header
from service.web.http.asgi import Scope as AsgiScope


def enter(
    keyring: Keyring | None, token: str | None, scope: Scope | None, credential: str | None
) -> Charge | None:
    """The account of a request with a key; None where none is needed. Raises InvalidKey, MissingScope, LocalOnly.

    token: what orders may be given with in the place of a key. scope: what a key must be for. credential: as
    Authorization has it.
    """
    if scope is None or (keyring is None and scope != "admin"):
        return None
    if scope == "admin" and token is not None and _presents(credential, token):
        return None
    if keyring is None:
        raise LocalOnly(
            "Orders need an API key for admin, or the token of the service: `python -m service.admin`, by the user whom "
            "it runs as and on its machine, finds that by itself."
        )
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


def _presents(credential: str | None, token: str) -> bool:
    scheme, _, secret = (credential or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(secret.strip().encode(), token.encode())


def refuse_pages(scope: AsgiScope) -> None:
    """For orders that no key pays for: a page that a browser shows gives none, whatever it knows. Raises LocalOnly."""
    if header(scope, b"origin") is not None or header(scope, b"sec-fetch-site") in (
        "cross-site",
        "same-site",
    ):
        raise LocalOnly("Orders are not taken from pages.")


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
    f"ganserve-{what}" for what in ("engine", "error", "labels", "model", "seeds", "size", "version")
]
