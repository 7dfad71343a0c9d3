"""Errors -> `{"error": "..."}`, as KServe's and Hugging Face's clients read them."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from service.errors import InvalidField, RequestError
from service.web.http.asgi import Reply
from service.web.http.problems import known, problem_of
from service.web.http.route import JSON, NOBODY, ErrorShape


class PlainError(Struct):
    error: str


def reply_to(error: BaseException, who: Mapping[str, str] = NOBODY) -> Reply:
    """The reply for any error; a field with a value that is not allowed is 400 here."""
    problem, headers = problem_of(known(error, who))
    status = 400 if isinstance(error, InvalidField) else problem.status
    text, field = problem.detail, problem.field
    if field not in (None, "body") and field.lower() not in text.lower():  # it has no place of its own here
        text = f"{field}: {text}"
    body = msgspec.json.encode(PlainError(text))
    return Reply(status, JSON, body, headers | {"ganserve-error": problem.code})


ERRORS = ErrorShape(
    reply_to,
    {JSON: PlainError},
    {"ganserve-error": "The error's stable code."},
    {error: (400, error.code) for error in (RequestError, InvalidField)},
)
