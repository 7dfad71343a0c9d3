"""Errors -> RFC 9457 problem details."""

import logging
import secrets

import msgspec
from msgspec import Struct

from service.errors import (
    GanserveError,
    InvalidField,
    InvalidKey,
    MethodNotAllowed,
    MissingScope,
    QueueFull,
    QuotaExceeded,
    RequestError,
    ServiceError,
    UnsupportedCoding,
)
from service.web.http.asgi import Reply
from service.web.http.route import ErrorShape

log = logging.getLogger("bentoml.ganserve.web")

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, omit_defaults=True):
    """`code` is stable, `field` is where the mistake is; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


def problem_of(error: GanserveError) -> tuple[Problem, dict[str, str]]:
    """What there is to say of an error of the taxonomy, and the headers that go with it."""
    kind = error if isinstance(error, RequestError | ServiceError) else ServiceError()
    headers = {}
    if isinstance(error, QueueFull | QuotaExceeded):
        headers["retry-after"] = str(error.retry_after_seconds)
    elif isinstance(error, InvalidKey | MissingScope):
        headers["www-authenticate"] = error.challenge
    elif isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    elif isinstance(error, UnsupportedCoding):
        headers["accept-encoding"] = ", ".join(error.allowed)
    elif kind.status == 503:
        headers["retry-after"] = "1"
    elif kind.status in (408, 413, 414, 431):
        # The rest of the request is not read.
        headers["connection"] = "close"
    problem = Problem(
        type=f"/docs#{kind.code}",
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=str(error),
        field=error.field if isinstance(error, InvalidField) else None,
    )
    return problem, headers


def known(error: BaseException, who: str = "") -> GanserveError:
    """The error, if it is of the taxonomy; any other is logged under a number, which is all that a client is told.

    who: which request it was, for the log.
    """
    if isinstance(error, GanserveError):
        return error
    number = secrets.token_hex(4)
    log.error("failure %s, %s", number, who, exc_info=error)
    return ServiceError(f"An unexpected {type(error).__name__}; the server's log has it as {number}.")


def reply_to(error: BaseException, who: str = "") -> Reply:
    """The reply for any error, as problem details. who: which request it was, for the log."""
    problem, headers = problem_of(known(error, who))
    return Reply(problem.status, MEDIA_TYPE, msgspec.json.encode(problem), headers)


ERRORS = ErrorShape(reply_to, {MEDIA_TYPE: Problem})
