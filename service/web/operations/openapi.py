"""What /openapi.json says of an operator's routes."""

from service.errors import (
    InvalidField,
    LocalOnly,
    NotReady,
    NotShared,
    UnknownModel,
    VersionRefused,
    WorkersLate,
)
from service.registry.desired_state import DesiredModel, DesiredState, Report, VersionState
from service.registry.orders import State
from service.web.http.openapi_parts import (
    BODY_ERRORS,
    Errors,
    Object,
    answer,
    body,
    in_path,
    json,
    operation,
    problems,
    reference,
)
from service.web.operations.admin import ReloadRequest, RetireRequest, TrafficRequest

STRUCTS = [TrafficRequest, RetireRequest, ReloadRequest, State]
"""Their schemas belong among the components; those inside them come with them."""

ERRORS: Errors = (LocalOnly, NotReady, NotShared)
_ORDER_ERRORS: Errors = (*ERRORS, *BODY_ERRORS, InvalidField, VersionRefused, WorkersLate)

_VERSION = "12 hex digits: of `sha256sum FILE`, the first 12."
_TIMEOUT = "Seconds until 504, when a worker has not done it; it stays wanted then."

FIELDS: dict[str, dict[str, str]] = {
    TrafficRequest.__name__: {
        "version": f"The version that is to get requests, in memory and ready on every worker; {_VERSION}",
        "share": "Of the requests that name no version: 1, all of them, and no other gets any; less makes it the canary beside the version that gets the rest; 0 ends the canary.",
        "timeout": _TIMEOUT,
    },
    RetireRequest.__name__: {
        "version": f"A version that gets no requests by the model's name alone; {_VERSION}",
        "timeout": _TIMEOUT,
    },
    ReloadRequest.__name__: {"timeout": f"{_TIMEOUT} Large models take long to load."},
    State.__name__: {"wanted": "What all workers are to serve.", "workers": "What each of them serves."},
    DesiredState.__name__: {
        "change": "Counts orders.",
        "reloads": "Counts readings of the models folder.",
        "models": "By name.",
    },
    DesiredModel.__name__: {
        "versions": "Those in memory, and the file that each was found in.",
        "version": "The one that gets requests that name none.",
        "canary": "The one that gets a share of them.",
        "share": "That share.",
    },
    Report.__name__: {
        "pid": "The worker's process.",
        "change": "The newest order that it has done, or is doing.",
        "models": "By name and version.",
    },
    VersionState.__name__: {
        "state": "`loading`, `ready`, `failed`, or `idle`: not in memory, and loaded when it is asked for.",
        "share": "Of the requests that name no version.",
        "problem": "Why it failed.",
    },
}

_DONE = {"200": answer("Done, on every worker.", json(reference(State.__name__)))}
_MODEL = "Model name."
_WHO = "With a key for admin, or with the service's own token, which `python -m service.admin` finds on its machine."

PATHS: Object = {
    "/v1/admin/models": {
        "get": operation(
            "Versions, and where requests go",
            {"200": answer("As of now.", json(reference(State.__name__)))} | problems(ERRORS),
            _WHO,
        )
    },
    "/v1/admin/reload": {
        "post": operation(
            "Read the models folder again",
            _DONE | problems(_ORDER_ERRORS),
            "Loads and checks what is new, `generator.onnx` or another `*.onnx` beside it, on every worker, and tries "
            "again what failed. Requests go where they went; the new versions have their addresses. A file that "
            f"failed is a 409 that says why, when all others are loaded. {_WHO}",
            requestBody=body(ReloadRequest.__name__, two_minutes={"timeout": 120}),
        )
    },
    "/v1/admin/models/{model}": {
        "post": operation(
            "Send requests to a version: a canary, all of them, or back",
            _DONE | problems((*_ORDER_ERRORS, UnknownModel)),
            f"Of the requests that name no version. With a share, the same seed always goes the same way. {_WHO}",
            parameters=in_path(model=_MODEL),
            requestBody=body(
                TrafficRequest.__name__,
                a_canary={"version": "5028b7975dd9", "share": 0.1},
                all_requests={"version": "5028b7975dd9"},
            ),
        )
    },
    "/v1/admin/models/{model}/retire": {
        "post": operation(
            "Take a version out of memory",
            _DONE | problems((*_ORDER_ERRORS, UnknownModel)),
            "Its addresses are 404 from then on; what caches hold of it stays right. Reading the folder again brings "
            f"it back, if its file is still there. {_WHO}",
            parameters=in_path(model=_MODEL),
            requestBody=body(RetireRequest.__name__, the_old_one={"version": "5028b7975dd9"}),
        )
    },
}
