"""Errors -> RFC 9457 problem details."""

import logging
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from service.errors import (
    EngineFailed,
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
    failure_id,
)
from service.web.http.asgi import Reply
from service.web.http.route import NOBODY, ErrorShape

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


def known(error: BaseException, who: Mapping[str, str] = NOBODY) -> GanserveError:
    """The error, if it is of the taxonomy; any other is logged as a failure, whose id is all that a client is told.

    who: which request it was, for the log.
    """
    if (
        isinstance(error, EngineFailed) and error.failure
    ):  # its pass has been logged, without the requests in it
        extra = {"event": "request_failed", "failure": error.failure, **who}
        log.error("failure %s", error.failure, extra=extra)
    if isinstance(error, GanserveError):
        return error
    failure = failure_id()
    log.error(
        "failure %s", failure, exc_info=error, extra={"event": "request_broke", "failure": failure, **who}
    )
    return ServiceError(f"An unexpected {type(error).__name__}; the server's log has it as {failure}.")


def reply_to(error: BaseException, who: Mapping[str, str] = NOBODY) -> Reply:
    """The reply for any error, as problem details. who: which request it was, for the log."""
    problem, headers = problem_of(known(error, who))
    return Reply(problem.status, MEDIA_TYPE, msgspec.json.encode(problem), headers)


ERRORS = ErrorShape(reply_to, {MEDIA_TYPE: Problem})
