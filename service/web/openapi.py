"""The OpenAPI document: every route, field, limit and error."""

from functools import cache
from typing import Any

import msgspec

from service.drawing.sampler import JsonReply, SampleRequest
from service.errors import (
    HeadTooLarge,
    InvalidKey,
    LocalOnly,
    MethodNotAllowed,
    MissingScope,
    RequestError,
    ServiceError,
    UnknownModel,
    UnknownRoute,
    UrlTooLong,
    VersionRefused,
    WorkersLate,
)
from service.settings import Settings
from service.web.clients import openapi as clients_openapi
from service.web.http import access
from service.web.http.asgi import Call, Reply
from service.web.http.openapi_parts import (
    BODY_ERRORS,
    LABELS_HEADER,
    MODEL,
    MODEL_HEADERS,
    SAMPLING_ERRORS,
    SEED,
    TIMEOUT,
    TRUNCATION,
    Object,
    answer,
    body,
    in_path,
    json,
    media,
    operation,
    problems,
    reference,
)
from service.web.http.problems import Problem
from service.web.kserve import openapi as v2_openapi
from service.web.operations import openapi as admin_openapi
from service.web.pages import openapi as pages_openapi
from service.web.v1 import interpolations_openapi

_PARTS = (interpolations_openapi, clients_openapi, v2_openapi, pages_openapi, admin_openapi)


async def get_document(call: Call) -> Reply:
    """GET /openapi.json."""
    return Reply(200, "application/json", _encoded(call.models.settings))


# On the event loop it takes 20 ms.
@cache
def _encoded(settings: Settings) -> bytes:
    return msgspec.json.encode(document(settings))


def document(settings: Settings) -> Object:
    """OpenAPI 3.1, with the limits that `settings` give."""
    structs = [SampleRequest, JsonReply, Problem, *(one for part in _PARTS for one in part.STRUCTS)]
    _, schemas = msgspec.json.schema_components(structs, ref_template=reference("{name}")["$ref"])
    fields = {SampleRequest.__name__: _FIELDS}
    for part in _PARTS:
        fields |= part.FIELDS
    for struct, texts in fields.items():
        for name, text in texts.items():
            schemas[struct]["properties"][name]["description"] = text.format(settings=settings)
    for schema in schemas.values():
        _limit(schema.get("properties", {}).get("n"), settings.max_images_per_request)
    paths = dict(_PATHS)
    for part in _PARTS:
        paths |= part.PATHS
    for path, methods in paths.items():
        if access.scope_of(path) is not None:
            paths[path] = {method: _guarded(path, operation) for method, operation in methods.items()}
    return {
        "openapi": "3.1.0",
        # Relative to this document: right under whatever path a proxy gives the service.
        "servers": [{"url": "./"}],
        "info": {"title": "ganserve", "version": "1", "description": _DESCRIPTION.format(codes=_codes())},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SCHEMES},
    }


def _guarded(path: str, operation: Object) -> Object:
    """As it is where keys are configured; orders need one always, or the token in its place."""
    # A refusal has the shape that the route's protocol has for them all.
    shape = {name: part for name, part in operation["responses"]["405"].items() if name != "description"}
    answers = dict(operation["responses"])
    for error in _REFUSALS:
        before = answers.get(str(error.status), {}).get("description", "")
        text = f"{before} `{error.code}`: {error.title}.".strip()
        answers[str(error.status)] = {"description": text} | shape
    security = _SECURITY[:2] if access.scope_of(path) == "admin" else _SECURITY
    return operation | {"security": security, "responses": dict(sorted(answers.items()))}


def _codes() -> str:
    """The errors as rows of a table."""
    errors = {*SAMPLING_ERRORS, *BODY_ERRORS, *admin_openapi.ERRORS, VersionRefused, WorkersLate}
    errors |= {*_REFUSALS, *_OF_CONNECTIONS, *_OF_ROUTES}
    rows = sorted((error.status, error.code, error.title) for error in errors)
    return "\n".join(f"| {status} | `{code}` | {title} |" for status, code, title in rows)


def _limit(n: Object | None, most: int) -> None:
    """The server's limit on a field `n`, which the struct does not know."""
    for kind in (n or {}).get("anyOf", [n] if n else []):
        if kind.get("type") == "integer":
            kind["maximum"] = most


_REFUSALS = (InvalidKey, MissingScope)
_OF_CONNECTIONS = (UrlTooLong, HeadTooLarge)
_OF_ROUTES = (UnknownRoute, MethodNotAllowed, LocalOnly, RequestError, ServiceError)
_SCHEMES: Object = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
_SECURITY: list[Object] = [{"bearer": []}, {"header": []}, {}]  # {}: where no keys are configured

_DESCRIPTION = """Images from class-conditional generators. Every image has an address: image i of a request
with seed s is the image of seed s+i, whatever it was batched with. Errors are RFC 9457 problem details;
`code` is stable. Every reply has an `x-request-id`, the request's own if it sent one. Replies under /v2 and
to OpenAI's and BentoML's clients have the shapes that those expect. Where the server has API keys, a route
with a lock takes one, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.

| status | code | meaning |
|---|---|---|
{codes}
| 503 | `no_replica` | No replica answers, says the balancer of deploy/ |"""

_FIELDS = {
    "model": MODEL,
    "label": "Class name in any case, its slug, or its index; or a list of n of them. Absent: image i has class (seed + i) mod K.",
    "n": "How many images; by default as many as `label` or `z` has entries, else 1.",
    "seed": SEED,
    "z": "n rows of z_dim numbers, instead of a seed.",
    "truncation": TRUNCATION,
    "format": "`png` and `webp` give one image for n=1 and a grid for more; `npy` uint8 [n, H, W, C].",
    "include_z": "With format json: return the z that the generator got.",
    "timeout": TIMEOUT,
}
_HEADERS = (
    MODEL_HEADERS
    | LABELS_HEADER
    | {"ganserve-seeds": "Seed of the image, or first-last; absent where z was given."}
)
_OBJECT: Object = {"type": "object"}
_CACHING = {"etag": "Of these bytes.", "cache-control": "Immutable."}


def _get(summary: str, answers: Object, errors: Any = (), **parts: Any) -> Object:
    return {"get": operation(summary, answers | problems(errors), **parts)}


def _image(**texts: str) -> Object:
    answers = {
        "200": answer(
            "The image; only under {model}@{version}.", media("image/png", "image/webp"), _HEADERS | _CACHING
        ),
        "304": answer("The client's copy is good.", headers=_CACHING),
        "307": answer(
            "To the versioned address.", headers={"location": "The versioned address, relative to this one."}
        ),
    }
    truncation = {
        "name": "truncation",
        "in": "query",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "description": TRUNCATION,
    }
    parameters = [*in_path(model="Model name, or name@version.", **texts), truncation]
    return _get("The image of a seed", answers, (*SAMPLING_ERRORS, UnknownRoute), parameters=parameters)


_FILE = "A seed and .png or .webp."
_CARD = (
    "The card. Of a model that is ready: golden (differences to its golden samples, null where it has none), invariance "
    "(most levels by which an image differed at load, in a batch and alone), truncation (whether it changes anything; "
    "where not, only 1 is allowed), checked (images, sizes, classes, seconds) and unchecked (what was not, in words)."
)
_PLAIN = media("text/plain")
_PATHS: Object = {
    "/v1/samples": {
        "post": operation(
            "Conditional samples",
            {
                "200": answer(
                    "The images, in the format asked for.",
                    media("image/png", "image/webp", "application/x-npy")
                    | json(reference(JsonReply.__name__)),
                    _HEADERS,
                )
            }
            | problems(SAMPLING_ERRORS + BODY_ERRORS),
            requestBody=body(
                SampleRequest.__name__, sixteen_sneakers={"label": "Sneaker", "n": 16, "seed": 1}
            ),
        )
    },
    "/v1/models": _get("All models", {"200": answer("OpenAI's list shape.", json(_OBJECT))}),
    "/v1/models/{model}": _get(
        "A model's card",
        {"200": answer(_CARD, json(_OBJECT))},
        (UnknownModel,),
        parameters=in_path(model="Model name, or name@version."),
    ),
    "/v1/models/{model}/images/{file}": _image(file=_FILE),
    "/v1/models/{model}/images/{label}/{file}": _image(label="Class slug, name or index.", file=_FILE),
    "/livez": _get("The process answers", {"200": answer("Alive.", _PLAIN)}),
    "/healthz": _get("As /livez", {"200": answer("Alive.", _PLAIN)}),
    "/readyz": _get(
        "Every model is loaded, warmed and golden-checked",
        {
            "200": answer("Ready.", json(_OBJECT)),
            "503": answer("Loading, failed or draining; says which.", json(_OBJECT)),
        },
    ),
    "/metrics": _get("Prometheus metrics", {"200": answer("Text format.", _PLAIN)}),
    "/v1/admin/drain": {
        "post": operation(
            "Drain and end",
            {"202": answer("Not ready from now on; ends after the grace period.", json(_OBJECT))}
            | problems((LocalOnly,)),
            "What SIGTERM does, for a preStop hook or a script on the same machine: `python -m service.drain`. With a key for admin, or with the service's own token, which that finds.",
        )
    },
    "/openapi.json": _get("This document", {"200": answer("OpenAPI 3.1.", json(_OBJECT))}),
}
