"""The error taxonomy. A class is a stable code; what it says is for people.

GanserveError
├── RequestError            the client can mend it
│   ├── NotJson             400 not_json
│   ├── InvalidKey          401 invalid_api_key     keys are configured, and this is none of them
│   ├── MissingScope        403 missing_scope       the key is good, but not for this
│   ├── LocalOnly           403 local_only          an order, with neither the service's token nor a key
│   ├── UnknownRoute        404 unknown_route
│   ├── UnknownModel        404 unknown_model
│   ├── MethodNotAllowed    405 method_not_allowed
│   ├── BodyTimeout         408 body_timeout
│   ├── VersionRefused      409 version_refused     it is not ready, or in use; nothing was changed
│   ├── BodyTooLarge        413 body_too_large
│   ├── UrlTooLong          414 url_too_long
│   ├── UnsupportedType     415 unsupported_media_type
│   │   └── UnsupportedCoding   the content encoding; says which there are
│   ├── InvalidField        422 invalid_field
│   ├── QueueFull           429 queue_full          before anything is queued
│   ├── QuotaExceeded       429 quota_exceeded      this key's, a minute
│   └── HeadTooLarge        431 head_too_large
├── ServiceError            the client may try again, here or elsewhere
│   ├── EngineFailed        500 engine_failed       after a pass that others shared, if it failed alone, too
│   │   └── ModelBroke      told as its parent:     it gave no images of its contract, and is ready no more
│   ├── NotReady            503 not_ready           the model is loading, or failed to load
│   ├── Draining            503 draining
│   ├── NotShared           503 not_shared          the workers have no folder to agree in
│   ├── DeadlinePassed      504 deadline_passed
│   └── WorkersLate         504 workers_late        not all workers have done yet what was asked
├── SettingsError           stops the start
├── ContractError           a model file that breaks the contract
└── EngineUnavailable       a configured engine that is not there, or not what it says
"""

import secrets
from collections.abc import Iterable
from typing import ClassVar


def failure_id() -> str:
    """What a client is told of a failure, and its log lines have: no other replica has it."""
    return secrets.token_hex(4)


class GanserveError(Exception):
    """Anything this service says no with."""


class RequestError(GanserveError):
    """The request can't be served as it stands."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"


class NotJson(RequestError):
    code = "not_json"
    title = "The body is not JSON"


class InvalidKey(RequestError):
    """No API key, or one that is not known; the text never repeats it."""

    status = 401
    code = "invalid_api_key"
    title = "An API key is needed"

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge
        """Of WWW-Authenticate (RFC 6750)."""


class MissingScope(RequestError):
    """The key is known, and is not for this route."""

    status = 403
    code = "missing_scope"
    title = "The API key lacks the scope"

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge


class LocalOnly(RequestError):
    """An order that is not its user's own, where no keys are configured."""

    status = 403
    code = "local_only"
    title = "Only for the service's own user"


class UnknownRoute(RequestError):
    status = 404
    code = "unknown_route"
    title = "No such route"


class UnknownModel(RequestError):
    status = 404
    code = "unknown_model"
    title = "No such model"


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {', '.join(allowed)}.")
        self.allowed = allowed


class BodyTimeout(RequestError):
    status = 408
    code = "body_timeout"
    title = "The body did not arrive in time"


class VersionRefused(RequestError):
    """A version can't get requests, or can't be taken away; all is as it was."""

    status = 409
    code = "version_refused"
    title = "The version is not fit for that"


class BodyTooLarge(RequestError):
    status = 413
    code = "body_too_large"
    title = "The body is too large"


class UrlTooLong(RequestError):
    status = 414
    code = "url_too_long"
    title = "The URL is too long"


class UnsupportedType(RequestError):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported content type"


class UnsupportedCoding(UnsupportedType):
    """The content encoding is none of `allowed`."""

    def __init__(self, message: str, allowed: Iterable[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class InvalidField(RequestError):
    """A field has a value that is not allowed, or should not be there; `field` names it."""

    status = 422
    code = "invalid_field"
    title = "A field is invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class QueueFull(RequestError):
    """Nothing was queued; worth trying again after `retry_after_seconds`."""

    status = 429
    code = "queue_full"
    title = "Too many images are waiting"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExceeded(RequestError):
    """The key has used up what it may have; worth trying again after `retry_after_seconds`."""

    status = 429
    code = "quota_exceeded"
    title = "The API key's quota is used up"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class HeadTooLarge(RequestError):
    status = 431
    code = "head_too_large"
    title = "The header fields are too large"


class ServiceError(GanserveError):
    """The request was fine; the service could not answer it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"


class EngineFailed(ServiceError):
    code = "engine_failed"
    title = "The forward pass failed"

    def __init__(self, message: str, failure: str = "") -> None:
        super().__init__(message)
        self.failure = failure
        """What the log knows it by."""


class ModelBroke(EngineFailed):
    """A forward pass gave something else than images of the model's contract; the text names the model."""


class NotReady(ServiceError):
    status = 503
    code = "not_ready"
    title = "The model is not ready"


class Draining(ServiceError):
    status = 503
    code = "draining"
    title = "The service is shutting down"


class NotShared(ServiceError):
    status = 503
    code = "not_shared"
    title = "The workers have no folder to agree in"


class DeadlinePassed(ServiceError):
    status = 504
    code = "deadline_passed"
    title = "The deadline passed"


class WorkersLate(ServiceError):
    """What was asked stays wanted: workers that can will do it."""

    status = 504
    code = "workers_late"
    title = "Not all workers have done it yet"


class SettingsError(GanserveError):
    """A setting has a value that is not allowed; the text names the setting and what is."""


class ContractError(GanserveError):
    """A model file does not keep the contract. what: where it does not; mend: what whoever reads it can do about it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}")
        self.what, self.mend = what, mend


# What most of them are mended by.
IMPORT = "`ganserve import FILE --out models/NAME` makes one of it, or says what is missing"
COPY = "copy it again from where it was made"
WRITE = "write it anew, by `ganserve import` or `training export`"
RETRAIN = "train it anew, by `python -m training encode`"
EVAL = "export again after model.eval(), or with training=False"


class EngineUnavailable(GanserveError):
    """The engine asked for is not installed, or the session did not get the device."""
