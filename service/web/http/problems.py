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


def problem(error: GanserveError) -> Reply:
    """The reply for an error of the taxonomy."""
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
        headers["connection"] = "close"  # the rest of the request is not read
    body = Problem(
        type=f"/docs#{kind.code}",
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=str(error),
        field=error.field if isinstance(error, InvalidField) else None,
    )
    return Reply(kind.status, MEDIA_TYPE, msgspec.json.encode(body), headers)


def reply_to(error: BaseException, who: str = "") -> Reply:
    """The reply for any error; one that is not of the taxonomy is logged under a number.

    who: which request it was, for the log.
    """
    if isinstance(error, GanserveError):
        return problem(error)
    number = secrets.token_hex(4)
    log.error("failure %s, %s", number, who, exc_info=error)
    return problem(
        ServiceError(f"An unexpected {type(error).__name__}; the server's log has it as {number}.")
    )
