"""/v2: the KServe V2 protocol (Open Inference Protocol) over REST, as Triton's clients speak it.

Versions are whole numbers there: ours in decimal; the hexadecimal one of /v1 is taken as well. The content
type is not looked at, as in Triton, because its clients and curl send any or none.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from service.errors import InvalidField, NotReady, RequestError, UnknownModel
from service.registry.model import Model
from service.registry.models import Models
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import decode_request, read_inflated
from service.web.http.drawing_call import DrawingCall
from service.web.http.route import (
    BODY_ERRORS,
    DRAWING_ERRORS,
    JSON,
    MODEL_HEADERS,
    Answer,
    Body,
    Errors,
    Parameter,
    Route,
)
from service.web.kserve import models
from service.web.kserve.inference import infer
from service.web.kserve.messages import InferRequest, InferResponse
from service.web.kserve.models import IndexEntry, ModelMetadata, ModelStats, find
from service.web.operations import probes

_EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
]


class IndexRequest(Struct, forbid_unknown_fields=True):
    ready: Annotated[bool, Meta(description="Only models that are ready.")] = False


class Server(Struct):
    name: str
    version: str
    extensions: list[str]


class Live(Struct):
    live: bool


class Ready(Struct):
    ready: bool


class ModelReady(Struct):
    name: str
    ready: bool


class Stats(Struct):
    model_stats: list[ModelStats]


_index_decoder = msgspec.json.Decoder(IndexRequest)


async def server_metadata(call: Call) -> Reply:
    """GET /v2."""
    return _json(Server("ganserve", "1", _EXTENSIONS))


async def live(call: Call) -> Reply:
    """GET /v2/health/live: the event loop runs."""
    return _json(Live(True))


async def ready(call: Call) -> Reply:
    """GET /v2/health/ready: as /readyz."""
    is_ready = (await probes.readyz(call)).status == 200
    return _readiness(Ready(is_ready))


async def model_ready(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}/ready: whether an inference would be answered, if need be after the model was loaded."""
    found = find(call.models, model, version)
    is_ready = found.state in ("ready", "idle")
    return _readiness(ModelReady(found.name, is_ready))


async def model_metadata(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}."""
    found = await _find_ready(call, model, version)
    return _json(models.metadata(found, call.models.versions[found.name]))


async def model_config(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}/config."""
    return _json(models.config(await _find_ready(call, model, version), call.models.settings))


async def stats(call: Call, model: str | None = None, version: str | None = None) -> Reply:
    """GET /v2/models/stats, of every model that is ready, and /v2/models/{model}/stats."""
    if model is None:
        wanted = [one for one in call.models.values() if one.state == "ready"]
    else:
        wanted = [await _find_ready(call, model, version)]
    counted = await asyncio.to_thread(models.counts)
    return _json(Stats([models.stats(one, counted) for one in wanted]))


async def index(call: Call) -> Reply:
    """POST /v2/repository/index."""
    asked = decode_request(await read_inflated(call), _index_decoder)
    return repository(call.models, asked.ready)


def repository(served: Models, ready: bool) -> Reply:
    """Every version of every model; ready: of those that are."""
    every = [one for name in served for one in served.versions[name]]
    return _json([models.index_entry(one) for one in every if one.state == "ready" or not ready])


async def load_or_unload(call: Call, model: str) -> Reply:
    """POST /v2/repository/models/{model}/load and /unload."""
    find(call.models, model, None)
    raise RequestError(
        "Models can't be loaded or unloaded here: they are read from the server's folder when it starts, and by "
        "POST /v1/admin/reload."
    )


async def _find_ready(call: Call, name: str, version: str | None) -> Model:
    """Raises UnknownModel, and what `DrawingCall.begin` raises."""
    return (await DrawingCall.begin(call, None, lambda: find(call.models, name, version))).model


def _readiness(told: Ready | ModelReady) -> Reply:
    return (
        _json(told)
        if told.ready
        else Reply(503, JSON, msgspec.json.encode(told), {"cache-control": "no-store"})
    )


def _json(document: Any) -> Reply:
    return Reply(200, JSON, msgspec.json.encode(document))


_AS_IT_HAS_IT = "As the protocol has it."
_READY: Errors = (UnknownModel, NotReady)
_MODEL = Parameter("model", "Model name.")
_VERSION = Parameter(
    "version",
    "The model's version: the whole number that /v2 names, or the 12 hex digits that /v1 names.",
)
_LENGTH = "Bytes of the JSON object, where bytes of tensors follow it."
_BINARY = {
    "application/octet-stream": Annotated[str, Meta(description="A JSON object, and the tensors' bytes.")]
}
_INFER_HEADERS = (
    Parameter("inference-header-content-length", _LENGTH, "header"),
    Parameter("content-encoding", "`gzip` or `deflate`, of the body.", "header"),
    Parameter("accept-encoding", "`gzip` or `deflate`: the reply is compressed.", "header"),
)
_IMAGES = Answer(
    _AS_IT_HAS_IT,
    {JSON: InferResponse} | _BINARY,
    MODEL_HEADERS
    | {
        "inference-header-content-length": _LENGTH,
        "content-encoding": "`gzip` or `deflate`, if the request accepts it.",
    },
)
_INFER_TEXT = """Triton's binary tensor data extension is spoken in both directions. The content type is not looked
at. The images share forward passes and limits with those of /v1/samples. All that is wrong with a tensor is
a 400, as the protocol has it."""
_TWO_SNEAKERS = {
    "id": "42",
    "inputs": [
        {"name": "seed", "datatype": "INT64", "shape": [2], "data": [1, 2]},
        {"name": "label", "datatype": "INT64", "shape": [2], "data": [7, 7]},
    ],
    "parameters": {"truncation": 0.7},
}
_REFUSED = "Models are read from the server's folder when it starts, and by POST /v1/admin/reload."


def _told(kind: Any) -> dict[int, Answer]:
    return {200: Answer(_AS_IT_HAS_IT, {JSON: kind})}


def _whether(kind: Any) -> dict[int, Answer]:
    return _told(kind) | {503: Answer("Not ready.", {JSON: kind})}


def _of_model(path: str, *named: Parameter) -> list[Route]:
    return [
        Route(
            *("GET", path, model_metadata, "sample"),
            "Inputs and outputs",
            _told(ModelMetadata),
            _READY,
            parameters=named,
        ),
        Route(
            *("GET", f"{path}/ready", model_ready, "sample"),
            "Whether a model is ready",
            _whether(ModelReady),
            (UnknownModel,),
            parameters=named,
        ),
        Route(
            *("GET", f"{path}/config", model_config, "sample"),
            "Triton's ModelConfig",
            _told(dict[str, Any]),
            _READY,
            parameters=named,
        ),
        Route(
            *("GET", f"{path}/stats", stats, "sample"),
            "Statistics",
            _told(Stats),
            _READY,
            parameters=named,
        ),
        Route(
            *("POST", f"{path}/infer", infer, "sample"),
            "Images, as a tensor",
            {200: _IMAGES},
            DRAWING_ERRORS,
            _INFER_TEXT,
            Body(InferRequest, {"two sneakers": _TWO_SNEAKERS}, _BINARY),
            (*named, *_INFER_HEADERS),
        ),
    ]


ROUTES = [
    Route("GET", "/v2", server_metadata, "sample", "The server", _told(Server)),
    Route("GET", "/v2/health/live", live, None, "As /livez", _told(Live)),
    Route("GET", "/v2/health/ready", ready, None, "As /readyz", _whether(Ready)),
    Route("GET", "/v2/models/stats", stats, "sample", "All models' statistics", _told(Stats)),
    *_of_model("/v2/models/{model}", _MODEL),
    *_of_model("/v2/models/{model}/versions/{version}", _MODEL, _VERSION),
    Route(
        *("POST", "/v2/repository/index", index, "sample"),
        "All models",
        _told(list[IndexEntry]),
        (*BODY_ERRORS, InvalidField),
        body=Body(IndexRequest),
    ),
    *(
        Route(
            *("POST", f"/v2/repository/models/{{model}}/{what}", load_or_unload, "admin"),
            "Always refused",
            {},
            (RequestError, UnknownModel),
            _REFUSED,
            parameters=(_MODEL,),
        )
        for what in ("load", "unload")
    ),
]
