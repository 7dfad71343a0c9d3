"""What the parts of the OpenAPI document are made of."""

from collections.abc import Iterable, Mapping
from typing import Any

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
    QuotaExceeded,
    RequestError,
    ServiceError,
    UnknownModel,
    UnsupportedType,
)
from service.web.http.problems import MEDIA_TYPE

Object = dict[str, Any]
Errors = Iterable[type[RequestError | ServiceError]]

BODY_ERRORS = (NotJson, BodyTimeout, BodyTooLarge, UnsupportedType)
SAMPLING_ERRORS = (
    *(InvalidField, UnknownModel, QueueFull, QuotaExceeded),
    *(EngineFailed, NotReady, Draining, DeadlinePassed),
)

TEXT: Object = {"type": "string"}
MODEL = "Model name, or name@version; by default the server's default model."
SEED = "Seed of the first image; by default drawn below 2^32, and returned."
TRUNCATION = "z is multiplied by it: less variety, more typical images. Only 1 where a model's card has truncation false."
TIMEOUT = "Seconds until 504; at most the server's {settings.timeout_seconds}."
MODEL_HEADERS = {
    "ganserve-model": "Model name.",
    "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
    "ganserve-engine": "What ran the forward passes.",
    "server-timing": "Milliseconds in the queue, in forward passes and in encoding.",
}
LABELS_HEADER = {
    "ganserve-labels": "Class index of all images, or one an image; absent for an unconditional model."
}


def operation(summary: str, answers: Object, description: str = "", **parts: Any) -> Object:
    """`parts` are OpenAPI's own: parameters, requestBody; those that are empty are left out."""
    optional = {"description": description} | parts
    return (
        {"summary": summary}
        | {name: part for name, part in optional.items() if part}
        | {"responses": answers}
    )


def reference(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


def media(*types: str, schema: Object = TEXT) -> Object:
    return {kind: {"schema": schema} for kind in types}


def json(schema: Object) -> Object:
    return media("application/json", schema=schema)


def answer(
    description: str, content: Object | None = None, headers: Mapping[str, str] | None = None
) -> Object:
    """headers: name -> what it says."""
    described = {name: {"description": text, "schema": TEXT} for name, text in (headers or {}).items()}
    return (
        {"description": description}
        | ({"content": content} if content else {})
        | ({"headers": described} if described else {})
    )


def problems(
    errors: Errors,
    content: Object | None = None,
    headers: Mapping[str, str] | None = None,
    renamed: Mapping[Any, tuple[int, str]] | None = None,
) -> Object:
    """An answer a status, which names the errors that have it; 405 and 500 are every route's.

    content: the shape of an error's body; problem details by default.
    renamed: status and code of errors that a protocol has its own for.
    """
    texts: dict[int, list[str]] = {}
    for error in dict.fromkeys((*errors, MethodNotAllowed, ServiceError)):
        status, code = (renamed or {}).get(error, (error.status, error.code))
        texts.setdefault(status, []).append(f"`{code}`: {error.title}.")
    shape = content or media(MEDIA_TYPE, schema=reference("Problem"))
    return {str(status): answer(" ".join(said), shape, headers) for status, said in sorted(texts.items())}


def body(name: str, **examples: Any) -> Object:
    """A JSON body of this schema. examples: name, with _ for spaces -> value."""
    named = {key.replace("_", " "): {"value": value} for key, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": reference(name), "examples": named}}}


def in_path(**texts: str) -> list[Object]:
    """Parameters in the path: name -> what it is."""
    return [
        {"name": name, "in": "path", "required": True, "schema": TEXT, "description": text}
        for name, text in texts.items()
    ]
