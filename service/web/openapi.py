"""The OpenAPI document: every route, field, limit and error."""

from typing import Any

import msgspec

from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlinePassed,
    Draining,
    EngineFailed,
    InvalidField,
    MethodNotAllowed,
    NotJson,
    NotReady,
    QueueFull,
    RequestError,
    ServiceError,
    UnknownModel,
    UnknownRoute,
    UnsupportedType,
)
from service.sampler import JsonReply, SampleRequest
from service.settings import Settings
from service.web.asgi import Call, Reply
from service.web.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_ADDRESS_HEADERS = {
    "ganserve-model": "Model name.",
    "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
    "ganserve-engine": "What ran the forward pass.",
    "ganserve-seeds": "Seed of the image, or first-last; absent where z was given.",
    "ganserve-labels": "Class index of all images, or one an image; absent for an unconditional model.",
}
_SAMPLING_ERRORS = (InvalidField, UnknownModel, QueueFull, EngineFailed, NotReady, Draining, DeadlinePassed)
_BODY_ERRORS = (NotJson, BodyTimeout, BodyTooLarge, UnsupportedType)


async def get_document(call: Call) -> Reply:
    """GET /openapi.json."""
    return Reply(200, "application/json", msgspec.json.encode(document(call.models.settings)))


def document(settings: Settings) -> dict[str, Any]:
    """OpenAPI 3.1, with the limits that `settings` give."""
    (request, _, _), schemas = msgspec.json.schema_components(
        [SampleRequest, JsonReply, Problem], ref_template=_REF
    )
    fields = schemas["SampleRequest"]["properties"]
    for name, text in _FIELDS.items():
        fields[name]["description"] = text.format(settings=settings)
    fields["n"]["anyOf"][0]["maximum"] = settings.max_images_per_request
    schemas["SampleRequest"]["examples"] = [{"label": "Sneaker", "n": 16, "seed": 1}]
    png = {"schema": {"type": "string", "contentMediaType": "image/png"}}
    webp = {"schema": {"type": "string", "contentMediaType": "image/webp"}}
    npy = {"schema": {"type": "string", "contentMediaType": "application/x-npy"}}
    images = {
        "image/png": png,
        "image/webp": webp,
        "application/x-npy": npy,
        "application/json": {"schema": {"$ref": _REF.format(name="JsonReply")}},
    }
    paths = {
        "/v1/samples": {
            "post": _operation(
                "Conditional samples",
                {"200": _answer("The images, in the format asked for.", images, _ADDRESS_HEADERS)},
                _SAMPLING_ERRORS + _BODY_ERRORS,
                body={"required": True, "content": {"application/json": {"schema": request}}},
            )
        },
        "/v1/models": {"get": _operation("All models", {"200": _answer("OpenAI's list shape.", _JSON)}, ())},
        "/v1/models/{model}": {
            "get": _operation(
                "A model's card", {"200": _answer("The card.", _JSON)}, (UnknownModel,), _path("model")
            )
        },
        "/v1/models/{model}/images/{file}": {"get": _image_operation("file")},
        "/v1/models/{model}/images/{label}/{file}": {"get": _image_operation("label", "file")},
        "/livez": {"get": _operation("The process answers", {"200": _answer("Alive.", _TEXT)}, ())},
        "/healthz": {"get": _operation("As /livez", {"200": _answer("Alive.", _TEXT)}, ())},
        "/readyz": {
            "get": _operation(
                "Every model is loaded, warmed and golden-checked",
                {
                    "200": _answer("Ready.", _JSON),
                    "503": _answer("Loading, failed or draining; says which.", _JSON),
                },
                (),
            )
        },
        "/metrics": {"get": _operation("Prometheus metrics", {"200": _answer("Text format.", _TEXT)}, ())},
        "/openapi.json": {"get": _operation("This document", {"200": _answer("OpenAPI 3.1.", _JSON)}, ())},
        "/docs": {"get": _operation("This document, to read", {"200": _answer("A page.", _HTML)}, ())},
        "/": {
            "get": _operation("To /docs", {"307": _answer("See /docs.", headers={"location": "Where."})}, ())
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "ganserve", "version": "1", "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_DESCRIPTION = """Images from class-conditional generators. Every image has an address: image i of a request
with seed s is the image of seed s+i, whatever it was batched with. Errors are RFC 9457 problem details;
`code` is stable."""

_FIELDS = {
    "model": "Model name, or name@version; by default the server's default model.",
    "label": "Class name in any case, its slug, or its index; or a list of n of them. Absent: image i has class (seed + i) mod K.",
    "n": "How many images; by default as many as `label` or `z` has entries, else 1.",
    "seed": "Seed of the first image; by default drawn below 2^32, and returned.",
    "z": "n rows of z_dim numbers, instead of a seed.",
    "truncation": "z is multiplied by it: less variety, more typical images.",
    "format": "`png` and `webp` give one image for n=1 and a grid for more; `npy` uint8 [n, H, W, C].",
    "include_z": "With format json: return the z that the generator got.",
    "timeout": "Seconds until 504; at most the server's {settings.timeout_seconds}.",
}
_JSON = {"application/json": {"schema": {"type": "object"}}}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_HTML = {"text/html": {"schema": {"type": "string"}}}


def _image_operation(*names: str) -> dict[str, Any]:
    images = {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("png", "webp")}
    caching = {"etag": "Of these bytes.", "cache-control": "Immutable."}
    return _operation(
        "The image of a seed",
        {
            "200": _answer("The image; only under {model}@{version}.", images, _ADDRESS_HEADERS | caching),
            "304": _answer("The client's copy is good.", headers=caching),
            "307": _answer("To the versioned address.", headers={"location": "The versioned address."}),
        },
        (*_SAMPLING_ERRORS, UnknownRoute),
        [*_path("model", *names), _TRUNCATION],
    )


_TRUNCATION = {
    "name": "truncation",
    "in": "query",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "description": _FIELDS["truncation"],
}
_PATH_TEXTS = {
    "model": "Model name, or name@version.",
    "label": "Class slug, name or index.",
    "file": "A seed and .png or .webp.",
}


def _path(*names: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": _PATH_TEXTS[name],
        }
        for name in names
    ]


def _operation(
    summary: str,
    answers: dict[str, Any],
    errors: tuple[type[RequestError | ServiceError], ...],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for error in (*errors, MethodNotAllowed, ServiceError):
        by_status.setdefault(error.status, []).append(f"`{error.code}`: {error.title}.")
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    problems = {str(status): _answer(" ".join(texts), content) for status, texts in sorted(by_status.items())}
    operation: dict[str, Any] = {"summary": summary, "responses": answers | problems}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = body
    return operation


def _answer(
    description: str, content: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description}
    if content:
        answer["content"] = content
    if headers:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return answer
