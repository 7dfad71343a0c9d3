"""/v2: the KServe V2 protocol (Open Inference Protocol) over REST, as Triton's clients speak it.

Versions are whole numbers there: ours in decimal; the hexadecimal one of /v1 is taken as well. The content
type is not looked at, as in Triton, because its clients and curl send any or none.
"""

import asyncio
import re
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service import metrics
from service.drawing.sampler import Draw
from service.errors import GanserveError, InvalidField, RequestError, UnknownModel
from service.generator.latents import Seeded, truncate
from service.registry.model import Model
from service.web.http.asgi import Call, Reply, header
from service.web.http.bodies import WINDOWS, decode_request, read_inflated
from service.web.http.drawing_call import DrawingCall, timing_of
from service.web.http.problems import known, problem_of
from service.web.kserve import models as v2_models
from service.web.kserve.messages import InferParameters, InferRequest
from service.web.kserve.tensors import Inputs, read_inputs, read_outputs, read_request, write_response
from service.web.operations import probes

_JSON = "application/json"
_EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
]


class IndexRequest(Struct, forbid_unknown_fields=True):
    ready: bool = False


_index_decoder = msgspec.json.Decoder(IndexRequest)


def is_here(path: str) -> bool:
    """Whether errors at this path have this protocol's shape."""
    return path == "/v2" or path.startswith("/v2/")


def error_reply(error: BaseException, who: str = "") -> Reply:
    """The reply for any error, as `{"error": ...}`; what is wrong with a tensor is 400 here."""
    problem, headers = problem_of(known(error, who))
    status = 400 if isinstance(error, InvalidField) else problem.status
    return _json({"error": problem.detail}, status, headers | {"ganserve-error": problem.code})


async def server_metadata(call: Call) -> Reply:
    """GET /v2."""
    return _json({"name": "ganserve", "version": "1", "extensions": _EXTENSIONS})


async def live(call: Call) -> Reply:
    """GET /v2/health/live: the event loop runs."""
    return _json({"live": True})


async def ready(call: Call) -> Reply:
    """GET /v2/health/ready: as /readyz."""
    is_ready = (await probes.readyz(call)).status == 200
    return _readiness({"ready": is_ready}, is_ready)


async def model_ready(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}/ready: whether an inference would be answered, if need be after the model was loaded."""
    found = _find(call, model, version)
    is_ready = found.state in ("ready", "idle")
    return _readiness({"name": found.name, "ready": is_ready}, is_ready)


async def model_metadata(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}."""
    found = await _find_ready(call, model, version)
    return _json(v2_models.metadata(found, call.models.versions[found.name]))


async def model_config(call: Call, model: str, version: str | None = None) -> Reply:
    """GET /v2/models/{model}/config."""
    return _json(v2_models.config(await _find_ready(call, model, version), call.models.settings))


async def stats(call: Call, model: str | None = None, version: str | None = None) -> Reply:
    """GET /v2/models/stats, of every model that is ready, and /v2/models/{model}/stats."""
    if model is None:
        wanted = [one for one in call.models.values() if one.state == "ready"]
    else:
        wanted = [await _find_ready(call, model, version)]
    counted = await asyncio.to_thread(v2_models.counts)
    return _json({"model_stats": [v2_models.stats(one, counted) for one in wanted]})


async def infer(call: Call, model: str, version: str | None = None) -> Reply:
    """POST /v2/models/{model}/infer."""
    body = await read_inflated(call)
    _find(call, model, version)  # an unknown model is said before what is wrong with the body
    asked, binary = read_request(body, header(call.scope, b"inference-header-content-length"))
    parameters = asked.parameters or InferParameters()
    drawing, inputs = await _understood(call, model, version, asked, binary)
    found, in_binary = drawing.model, read_outputs(asked)
    found.require_truncation(parameters.truncation)
    if inputs.z is None:
        assert inputs.seeds is not None
        z = Seeded(inputs.seeds, found.contract.z_dim, parameters.truncation)
    else:
        z = truncate(inputs.z, parameters.truncation)
    draw = Draw(found, None, inputs.label, z)
    coding = response_coding(header(call.scope, b"accept-encoding"))
    encode = partial(_answer, draw, in_binary, asked.id, coding)
    reply = await drawing.finish(draw, lambda: _submitted(drawing, draw, encode, in_binary))
    reply.headers["server-timing"] = timing_of(draw)
    return reply


async def index(call: Call) -> Reply:
    """POST /v2/repository/index."""
    asked = decode_request(await read_inflated(call), _index_decoder)
    every = [one for name in call.models for one in call.models.versions[name]]
    wanted = [one for one in every if one.state == "ready" or not asked.ready]
    return _json([v2_models.index_entry(one) for one in wanted])


async def load_or_unload(call: Call, model: str) -> Reply:
    """POST /v2/repository/models/{model}/load and /unload."""
    _find(call, model, None)
    raise RequestError(
        "Models can't be loaded or unloaded here: they are read from the server's folder when it starts, and by "
        "POST /v1/admin/reload."
    )


def response_coding(accept_encoding: str | None) -> str | None:
    """gzip, deflate or None: which the client likes best, and of equals the first, as Triton chooses."""
    best, coding = 0.0, None
    for part in (accept_encoding or "").lower().split(","):
        name, _, parameter = part.partition(";")
        weight = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        quality = float(weight[1]) if weight else 1.0 if not parameter.strip() else 0.0
        name = name.strip()
        if name in (*WINDOWS, "identity") and quality > best:
            best, coding = quality, name
    return None if coding == "identity" else coding


async def _submitted(
    drawing: DrawingCall, draw: Draw, encode: Callable[[NDArray[np.uint8]], Reply], in_binary: bool
) -> Reply:
    """What `encode` makes of the images; a success of the model's statistics, or a failure."""
    model, begun = draw.model, drawing.call.begun
    assert model.batcher is not None
    try:
        reply = await model.batcher.submit(
            model.line, draw.z, draw.label, drawing.deadline, encode, draw.timing, in_binary
        )
    except GanserveError:
        v2_models.note(model, "fail", begun)
        raise
    v2_models.note(model, "success", begun)
    return reply


def _answer(draw: Draw, binary: bool, id: str | None, coding: str | None, pixels: NDArray[np.uint8]) -> Reply:
    begun, model = time.monotonic(), draw.model
    document, content = write_response(pixels, binary, model.name, v2_models.version(model), id)
    headers = {
        "ganserve-model": model.name,
        "ganserve-version": model.version,
        "ganserve-engine": model.engine.name,
    }
    if content:
        headers["inference-header-content-length"] = str(len(document))
    body = document + content
    if coding:
        stream = zlib.compressobj(1, wbits=WINDOWS[coding])
        body = stream.compress(body) + stream.flush()
        headers["content-encoding"] = coding
    draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, "tensor").observe(draw.timing.encode_seconds)
    return Reply(200, "application/octet-stream" if content else _JSON, body, headers)


async def _understood(
    call: Call, name: str, version: str | None, asked: InferRequest, binary: memoryview
) -> tuple[DrawingCall, Inputs]:
    """Which model is to draw, and what. Raises what `DrawingCall.begin` and read_inputs raise."""
    timeout = (asked.parameters or InferParameters()).timeout / 1e6 or None
    found = _find(call, name, version)
    if asked.model_name not in (None, found.name):
        raise UnknownModel(f"The path names the model {name}, and the body '{asked.model_name[:64]}'.")
    named = asked.model_version if version is None else version
    if asked.model_version is not None and _find(call, name, asked.model_version) is not _find(
        call, name, named
    ):
        raise UnknownModel(f"The path names version {version}, and the body {asked.model_version}.")
    drawing = await DrawingCall.begin(call, timeout, lambda: _find(call, name, named))
    inputs = read_inputs(asked, binary, drawing.model.contract, drawing.most_images)
    if named is None:
        seed = inputs.seeds[0] if inputs.seeds else None
        picked = await DrawingCall.begin(call, timeout, lambda: call.models.pick(name, seed))
        if picked.model is not drawing.model:
            return picked, read_inputs(asked, binary, picked.model.contract, picked.most_images)
    return drawing, inputs


def _find(call: Call, name: str, version: str | None) -> Model:
    """Raises UnknownModel. version: in decimal, or as /v1 has it."""
    model = call.models.find(name)
    if version is None:
        return model
    every = call.models.versions[model.name]
    for one in every:
        if version in (v2_models.version(one), one.version):
            return one
    known = ", ".join(v2_models.version(one) for one in every)
    raise UnknownModel(f"Model {model.name} has version {known or 'none'}, not '{version[:64]}'.")


async def _find_ready(call: Call, name: str, version: str | None) -> Model:
    """Raises UnknownModel, and what `DrawingCall.begin` raises."""
    return (await DrawingCall.begin(call, None, lambda: _find(call, name, version))).model


def _readiness(document: Any, is_ready: bool) -> Reply:
    return _json(document) if is_ready else _json(document, 503, {"cache-control": "no-store"})


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, _JSON, msgspec.json.encode(document), headers or {})
