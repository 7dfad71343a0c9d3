"""Every route of the service, and the row that a path belongs to."""

import re
from functools import cache
from typing import Any
from urllib.parse import unquote

import msgspec

from service import keys
from service.errors import UnknownRoute
from service.settings import Settings
from service.web import openapi
from service.web.clients import bento, huggingface, openai, openai_edits, openai_variations
from service.web.http.asgi import Call, Reply, Scope
from service.web.http.route import JSON, Answer, Route
from service.web.kserve import predict
from service.web.kserve import routes as kserve
from service.web.operations import admin, probes
from service.web.pages import routes as pages
from service.web.v1 import (
    addresses,
    cards,
    classifications,
    datasets,
    interpolations,
    inversions,
    samples,
    translations,
)


async def get_document(call: Call) -> Reply:
    """GET /openapi.json."""
    return Reply(200, JSON, _document(call.models.settings))


# On the event loop it takes 20 ms.
@cache
def _document(settings: Settings) -> bytes:
    return msgspec.json.encode(openapi.document(ROUTES, settings))


_DOCUMENT = Route(
    *("GET", "/openapi.json", get_document, None),
    "This document",
    {200: Answer("OpenAPI 3.1.", {JSON: dict[str, Any]})},
)
ROUTES = [
    *(*samples.ROUTES, *datasets.ROUTES, *interpolations.ROUTES, *inversions.ROUTES),
    *(*translations.ROUTES, *classifications.ROUTES),
    # Before /v1/models/{model}, which would take `name:predict` for a name.
    *predict.ROUTES,
    *(*cards.ROUTES, *addresses.ROUTES),
    *(*openai.ROUTES, *openai_edits.ROUTES, *openai_variations.ROUTES),
    *(*bento.ROUTES, *huggingface.ROUTES),
    *kserve.ROUTES,
    *(*admin.ROUTES, *probes.ROUTES),
    *(*pages.ROUTES, _DOCUMENT),
]

STATIC = "/static_content/"
"""Files that BentoML answers with."""
_SCOPES: dict[str, keys.Scope | None] = {STATIC: None, **{route.path: route.scope for route in ROUTES}}
_FIXED: dict[str, dict[str, Route]] = {}
"""By path and method."""
for _route in ROUTES:
    if "{" not in _route.path and _route.handler:
        _FIXED.setdefault(_route.path, {})[_route.method] = _route
_PATTERNS = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)), route)
    for route in ROUTES
    if "{" in route.path
]


def methods_of(route: Route) -> list[str]:
    """What the route's path is asked with."""
    methods = sorted(_FIXED.get(route.path, [route.method]))
    return [name for one in methods for name in ([one, "HEAD"] if one == "GET" else [one])]


def scope_of(path: str) -> keys.Scope | None:
    """What a key must be for, by the path of a route that has one method; None where none is needed.

    What has no row is for admin.
    """
    return _SCOPES.get(path, "admin")


def find(scope: Scope) -> tuple[Route, dict[str, str]]:
    """The route, and the decoded parts of the path that it names. Raises UnknownRoute."""
    path = scope["path"]
    if rows := _FIXED.get(path):
        return rows.get(scope["method"]) or rows.get("GET") or next(iter(rows.values())), {}
    # Parts are split before they are decoded: a slash inside one (`T-shirt%2Ftop`) stays inside.
    raw = scope["raw_path"].split(b"?")[0].decode("latin-1")
    for pattern, route in _PATTERNS:
        if match := pattern.fullmatch(raw):
            return route, {
                name: unquote(value, errors="replace") for name, value in match.groupdict().items()
            }
    raise UnknownRoute(f"There is no {path[:128]}; /docs lists what there is.")
