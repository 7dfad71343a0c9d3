"""What /openapi.json says of the playground."""

from typing import Any

from service.errors import MethodNotAllowed, RequestError, ServiceError, UnknownRoute

_CACHING = {"etag": "Of these bytes.", "cache-control": "To be asked for again each time."}


def _operation(
    summary: str, kinds: str, errors: tuple[type[RequestError | ServiceError], ...], *names: str
) -> dict[str, Any]:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _CACHING.items()}
    answers: dict[str, Any] = {
        "200": {
            "description": "It asks no other host for anything.",
            "content": {kind: {"schema": {"type": "string"}} for kind in kinds.split()},
            "headers": headers,
        },
        "304": {"description": "The client's copy is good.", "headers": headers},
    }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for error in errors:
        answers[str(error.status)] = {"description": f"`{error.code}`: {error.title}.", "content": problem}
    operation: dict[str, Any] = {"summary": summary, "responses": answers}
    if names:
        operation["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": "Name of a script or style sheet.",
                "example": "playground.js",
            }
            for name in names
        ]
    return operation


PATHS: dict[str, Any] = {
    "/": {
        "get": _operation(
            "The playground, to look at what is served", "text/html", (MethodNotAllowed, ServiceError)
        )
    },
    "/playground/{file}": {
        "get": _operation(
            "A file of the playground",
            "text/javascript text/css",
            (UnknownRoute, MethodNotAllowed, ServiceError),
            "file",
        )
    },
}
