"""The OpenAPI document: every route, field, limit and error, from the rows and from the structs that they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from service import keys
from service.errors import (
    HeadTooLarge,
    InvalidKey,
    LocalOnly,
    MethodNotAllowed,
    MissingScope,
    ServiceError,
    UnknownRoute,
    UrlTooLong,
)
from service.settings import Settings
from service.web.error_shapes import shape_at
from service.web.http.route import JSON, Answer, Body, Content, Errors, Parameter, Route

Object = dict[str, Any]
_Schemas = Mapping[Any, Object]

_OF_EVERY_ROUTE: Errors = (MethodNotAllowed, ServiceError)
# Before there is a route.
_OF_NO_ROUTE: Errors = (UnknownRoute, UrlTooLong, HeadTooLarge)


def document(routes: Sequence[Route], settings: Settings) -> Object:
    """OpenAPI 3.1, with the limits that `settings` give."""
    kinds = list(dict.fromkeys(kind for route in routes for kind in _kinds(route)))
    found, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(kinds, found, strict=True))
    paths: dict[str, Object] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for component in components.values():
        _fill_in(component.get("properties", {}), settings)
    return {
        "openapi": "3.1.0",
        # Relative to this document: right under whatever path a proxy gives the service.
        "servers": [{"url": "./"}],
        "info": {
            "title": "ganserve",
            "version": "1",
            "description": _DESCRIPTION.format(codes=_codes(routes)),
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _kinds(route: Route) -> Iterator[Any]:
    """The types whose schemas its description has."""
    for answer in route.answers.values():
        yield from answer.content.values()
    yield from shape_at(route.path).content.values()
    yield from (parameter.kind for parameter in route.parameters)
    if route.body is not None:
        yield from (route.body.kind, *route.body.others.values())


def _operation(route: Route, schemas: _Schemas) -> Object:
    answers = _refusals(route) | {str(status): one for status, one in route.answers.items()}
    parts: Object = {
        "summary": route.summary,
        "description": route.text,
        "parameters": [_parameter(one, schemas) for one in route.parameters],
        "requestBody": route.body and _body(route.body, schemas),
        "responses": {status: _answer(one, schemas) for status, one in sorted(answers.items())},
        "security": _SECURITY[route.scope],
    }
    return {name: part for name, part in parts.items() if part}


def _refusals(route: Route) -> dict[str, Answer]:
    """An answer a status, which names the errors that have it."""
    shape = shape_at(route.path)
    texts: dict[int, list[str]] = {}
    for error in dict.fromkeys(_errors(route)):
        status, code = shape.renamed.get(error, (error.status, error.code))
        texts.setdefault(status, []).append(f"`{code}`: {error.title}.")
    return {
        str(status): Answer(" ".join(said), shape.content, shape.headers) for status, said in texts.items()
    }


def _errors(route: Route) -> Errors:
    of_scope: Errors = () if route.scope is None else (InvalidKey, MissingScope)
    of_url: Errors = (UrlTooLong,) if any(one.place != "header" for one in route.parameters) else ()
    if route.scope == "admin":
        of_scope = (LocalOnly, *of_scope)
    return (*route.errors, *of_url, *_OF_EVERY_ROUTE, *of_scope)


def _parameter(one: Parameter, schemas: _Schemas) -> Object:
    told: Object = {"name": one.name, "in": one.place, "description": one.text, "schema": schemas[one.kind]}
    return told | ({"required": True} if one.place == "path" else {})


def _body(body: Body, schemas: _Schemas) -> Object:
    content = _content({body.media_type: body.kind} | dict(body.others), schemas)
    if not body.examples:
        return {"content": content} | ({} if JSON in content else {"required": True})
    content[body.media_type]["examples"] = {name: {"value": value} for name, value in body.examples.items()}
    return {"required": True, "content": content}


def _answer(one: Answer, schemas: _Schemas) -> Object:
    headers = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in one.headers.items()
    }
    parts = {"description": one.text, "content": _content(one.content, schemas), "headers": headers}
    return {name: part for name, part in parts.items() if part}


def _content(content: Content, schemas: _Schemas) -> dict[str, Object]:
    return {media_type: {"schema": schemas[kind]} for media_type, kind in content.items()}


def _fill_in(properties: Object, settings: Settings) -> None:
    """What the structs leave to the server: its limit on a field `n`, and what texts name in braces."""
    for field in properties.values():
        if "description" in field:
            field["description"] = field["description"].format(settings=settings)
    n = properties.get("n", {})
    for kind in n.get("anyOf", [n]):
        if kind.get("type") == "integer":
            kind.setdefault("maximum", settings.max_images_per_request)


def _codes(routes: Iterable[Route]) -> str:
    """The errors as rows of a table."""
    errors = {error for route in routes for error in _errors(route)} | set(_OF_NO_ROUTE)
    rows = sorted((error.status, error.code, error.title) for error in errors)
    return "\n".join(f"| {status} | `{code}` | {title} |" for status, code, title in rows)


_SCHEMES: Object = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
_KEY: list[Object] = [{"bearer": []}, {"header": []}]
# {}: where no keys are configured.
_SECURITY: dict[keys.Scope | None, list[Object]] = {
    None: [],
    "admin": _KEY,
    "sample": [*_KEY, {}],
    "metrics": [*_KEY, {}],
}

_DESCRIPTION = """Images from class-conditional generators. Every image has an address: image i of a request
with seed s is the image of seed s+i, whatever it was batched with. Errors are RFC 9457 problem details;
`code` is stable. Every reply has an `x-request-id`, the request's own if it sent one. Replies under /v2 and
to OpenAI's and BentoML's clients have the shapes that those expect. Where the server has API keys, a route
with a lock takes one, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.

| status | code | meaning |
|---|---|---|
{codes}
| 503 | `no_replica` | No replica answers, says the balancer of deploy/ |"""
