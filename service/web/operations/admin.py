"""/v1/admin: an operator's orders, while the service runs; see orders.py."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.errors import InvalidField, NotReady, NotShared, UnknownModel, VersionRefused, WorkersLate
from service.registry import orders
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import read_request
from service.web.http.route import BODY_ERRORS, JSON, Answer, Body, Errors, Parameter, Route

_VERSION = "12 hex digits: of `sha256sum FILE`, the first 12."
_TIMEOUT = "Seconds until 504, when a worker has not done it; it stays wanted then."

_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class TrafficRequest(Struct, forbid_unknown_fields=True):
    """Which requests a version is to get."""

    version: Annotated[
        str,
        Meta(
            description=f"The version that is to get requests, in memory and ready on every worker; {_VERSION}"
        ),
    ]
    share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Of the requests that name no version: 1, all of them, and no other gets any; less makes it the canary beside the version that gets the rest; 0 ends the canary.",
        ),
    ] = 1.0
    timeout: Annotated[_Seconds, Meta(description=_TIMEOUT)] = 30.0


class RetireRequest(Struct, forbid_unknown_fields=True):
    version: Annotated[
        str, Meta(description=f"A version that gets no requests by the model's name alone; {_VERSION}")
    ]
    timeout: Annotated[_Seconds, Meta(description=_TIMEOUT)] = 30.0


class ReloadRequest(Struct, forbid_unknown_fields=True):
    timeout: Annotated[_Seconds, Meta(description=f"{_TIMEOUT} Large models take long to load.")] = 60.0


_traffic = msgspec.json.Decoder(TrafficRequest)
_retire = msgspec.json.Decoder(RetireRequest)
_reload = msgspec.json.Decoder(ReloadRequest)


async def get_models(call: Call) -> Reply:
    """GET /v1/admin/models."""
    return _reply(await orders.state(call.rollout))


async def post_reload(call: Call) -> Reply:
    """POST /v1/admin/reload."""
    asked = await read_request(call, _reload)
    return _reply(await orders.reload(call.rollout, asked.timeout))


async def post_traffic(call: Call, model: str) -> Reply:
    """POST /v1/admin/models/{model}."""
    asked = await read_request(call, _traffic)
    return _reply(await orders.direct(call.rollout, model, asked.version, asked.share, asked.timeout))


async def post_retire(call: Call, model: str) -> Reply:
    """POST /v1/admin/models/{model}/retire."""
    asked = await read_request(call, _retire)
    return _reply(await orders.retire(call.rollout, model, asked.version, asked.timeout))


def _reply(state: orders.State) -> Reply:
    return Reply(200, "application/json", msgspec.json.encode(state), {"cache-control": "no-store"})


_STATE = {JSON: orders.State}
_DONE = {200: Answer("Done, on every worker.", _STATE)}
_ERRORS: Errors = (NotReady, NotShared)
_ORDER_ERRORS: Errors = (*_ERRORS, *BODY_ERRORS, InvalidField, VersionRefused, WorkersLate)
_MODEL = (Parameter("model", "Model name."),)
_WHO = "With a key for admin, or with the service's own token, which `python -m service.admin` finds on its machine."
ROUTES = [
    Route(
        *("GET", "/v1/admin/models", get_models, "admin"),
        "Versions, and where requests go",
        {200: Answer("As of now.", _STATE)},
        _ERRORS,
        _WHO,
    ),
    Route(
        *("POST", "/v1/admin/models/{model}", post_traffic, "admin"),
        "Send requests to a version: a canary, all of them, or back",
        _DONE,
        (*_ORDER_ERRORS, UnknownModel),
        f"Of the requests that name no version. With a share, the same seed always goes the same way. {_WHO}",
        Body(
            TrafficRequest,
            {
                "a canary": {"version": "943858eb1dfb", "share": 0.1},
                "all requests": {"version": "943858eb1dfb"},
            },
        ),
        _MODEL,
    ),
    Route(
        *("POST", "/v1/admin/models/{model}/retire", post_retire, "admin"),
        "Take a version out of memory",
        _DONE,
        (*_ORDER_ERRORS, UnknownModel),
        "Its addresses are 404 from then on; what caches hold of it stays right. Reading the folder again brings it "
        f"back, if its file is still there. {_WHO}",
        Body(RetireRequest, {"the old one": {"version": "943858eb1dfb"}}),
        _MODEL,
    ),
    Route(
        *("POST", "/v1/admin/reload", post_reload, "admin"),
        "Read the models folder again",
        _DONE,
        _ORDER_ERRORS,
        "Loads and checks what is new, `generator.onnx` or another `*.onnx` beside it, on every worker, and tries again "
        "what failed. Requests go where they went; the new versions have their addresses. A file that failed is a 409 "
        f"that says why, when all others are loaded. {_WHO}",
        Body(ReloadRequest, {"two minutes": {"timeout": 120}}),
    ),
]
