"""A row of the routes: what is asked for where, who answers, who may ask, and what /openapi.json says of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from service import keys
from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlinePassed,
    Draining,
    EngineFailed,
    InvalidField,
    NotJson,
    NotReady,
    QueueFull,
    QuotaExceeded,
    RequestError,
    ServiceError,
    UnknownModel,
    UnsupportedType,
)
from service.web.http.asgi import Reply, Streamed

Handler = Callable[..., Awaitable[Reply | Streamed]]
Content = Mapping[str, Any]
"""Media type -> the type whose schema a body of it has."""
Errors = Sequence[type[RequestError | ServiceError]]

JSON = "application/json"
EVENTS = "text/event-stream"
NOBODY: Mapping[str, str] = {}
"""The request that an error is about, where none is known: trace.who."""
BODY_ERRORS: Errors = (NotJson, BodyTimeout, BodyTooLarge, UnsupportedType)
SAMPLING_ERRORS: Errors = (
    *(InvalidField, UnknownModel, QueueFull, QuotaExceeded),
    *(EngineFailed, NotReady, Draining, DeadlinePassed),
)
DRAWING_ERRORS: Errors = (*SAMPLING_ERRORS, *BODY_ERRORS)

MODEL_HEADERS = {
    "ganserve-model": "Model name.",
    "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
    "ganserve-engine": "What ran the forward passes.",
    "server-timing": "Milliseconds in the queue, in forward passes and in encoding.",
}
IMAGE_HEADERS = MODEL_HEADERS | {
    "ganserve-labels": "Class index of all images, or one an image; absent for an unconditional model."
}


class Event(Struct, omit_defaults=True):
    """One of the events of a stream. event: its name, if it has one; data: JSON."""

    data: str
    event: str = ""


class Answer(Struct, frozen=True):
    """headers: name -> what it says."""

    text: str
    content: Content = {}
    headers: Mapping[str, str] = {}


class Parameter(Struct, frozen=True):
    """kind: the type whose schema it has."""

    name: str
    text: str
    place: Literal["path", "query", "header"] = "path"
    kind: Any = str


class Body(Struct, frozen=True):
    """A body, JSON unless media_type says otherwise; JSON may be left out where there is no example of it. others: what else it may be."""

    kind: type[Struct]
    examples: Mapping[str, Any] = {}
    others: Content = {}
    media_type: str = JSON


class Route(Struct, frozen=True):
    """handler: None where BentoML answers. scope: what a key must be for; None where none is needed.

    answers: by status, those that are no errors. errors: those that are not every route's, nor come of the scope.
    """

    method: str
    path: str
    handler: Handler | None
    scope: keys.Scope | None
    summary: str
    answers: Mapping[int, Answer]
    errors: Errors = ()
    text: str = ""
    body: Body | None = None
    parameters: Sequence[Parameter] = ()


class ErrorShape(Struct, frozen=True):
    """How a protocol says errors: as replies, and in /openapi.json.

    renamed: status and code of errors that the protocol has its own for.
    """

    reply: Callable[[BaseException, Mapping[str, str]], Reply]
    content: Content
    headers: Mapping[str, str] = {}
    renamed: Mapping[type[BaseException], tuple[int, str]] = {}
