"""/v1/admin: an operator's orders, while the service runs; see orders.py."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.registry import orders
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import read_request

_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class TrafficRequest(Struct, forbid_unknown_fields=True):
    """Which requests a version is to get."""

    version: str
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    timeout: _Seconds = 30.0


class RetireRequest(Struct, forbid_unknown_fields=True):
    version: str
    timeout: _Seconds = 30.0


class ReloadRequest(Struct, forbid_unknown_fields=True):
    timeout: _Seconds = 60.0


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
