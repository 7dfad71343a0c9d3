"""POST /v2/models/{model}/infer: images, as a tensor."""

import re
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.drawing import translation
from service.drawing.draw import Draw
from service.errors import GanserveError, InvalidField, UnknownModel
from service.generator.file.outputs import IMAGE
from service.web.http.asgi import Call, Reply, header
from service.web.http.bodies import WINDOWS, read_inflated
from service.web.http.drawing_call import DrawingCall, timing_of
from service.web.http.route import JSON
from service.web.kserve import models
from service.web.kserve.messages import InferParameters, InferRequest
from service.web.kserve.models import find
from service.web.kserve.tensors import (
    Inputs,
    read_inputs,
    read_outputs,
    read_request,
    require_outputs,
    write_response,
)

T = TypeVar("T")
Tensors = dict[str, NDArray[Any]]
"""Outputs, each [n, ...], by name."""


async def infer(call: Call, model: str, version: str | None = None) -> Reply:
    """POST /v2/models/{model}/infer."""
    body = await read_inflated(call)
    find(call.models, model, version)  # an unknown model is said before what is wrong with the body
    asked, binary = read_request(body, header(call.scope, b"inference-header-content-length"))
    coding = response_coding(header(call.scope, b"accept-encoding"))
    write = partial(_answer, read_outputs(asked), asked.id, coding)
    draw, reply = await drawn(call, model, version, asked, binary, write)
    reply.headers["server-timing"] = timing_of(draw.timing)
    return reply


async def drawn(
    call: Call,
    model: str,
    version: str | None,
    asked: InferRequest,
    binary: memoryview,
    write: Callable[[Draw, Tensors], T],
) -> tuple[Draw, T]:
    """What is drawn, and what `write` makes of the outputs that are wanted. binary: the bytes of the tensors.

    Raises the errors of the taxonomy.
    """
    parameters = asked.parameters or InferParameters()
    drawing, inputs = await _understood(call, model, version, asked, binary)
    found, wanted = drawing.model, read_outputs(asked)
    require_outputs(wanted, found.contract)
    found.require_truncation(parameters.truncation)
    if inputs.image is not None:
        z = translation.rows(
            found.contract, inputs.image, inputs.seeds, inputs.scalars, inputs.weights, inputs.texts
        )
        z = found.contract.truncated(z, parameters.truncation)
    elif inputs.z is None:
        assert inputs.seeds is not None
        z = found.contract.seeded(
            inputs.seeds, parameters.truncation, inputs.scalars, inputs.weights, inputs.texts
        )
    else:
        z = found.contract.truncated(inputs.z, parameters.truncation)
        z = found.contract.with_scalars(z, inputs.scalars, inputs.weights, inputs.texts)
    _require_few(drawing, wanted, len(z))
    draw = Draw(found, None, inputs.label, z, weights=inputs.weights, texts=inputs.texts)
    answer = await drawing.finish(
        draw, lambda: _submitted(drawing, draw, partial(_timed, draw, write), wanted)
    )
    return draw, answer


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
    drawing: DrawingCall, draw: Draw, encode: Callable[[Tensors], T], wanted: dict[str, bool]
) -> T:
    """What `encode` makes of the outputs; a success of the model's statistics, or a failure."""
    model, begun = draw.model, drawing.call.begun
    line, apart = model.line, _image
    if any(name != IMAGE for name in wanted):
        everything, line = model.everything
        apart = everything.apart
    try:
        answer = await model.batcher.submit(
            *(line, draw.z, draw.label, drawing.deadline),
            lambda rows: encode(apart(rows)),
            draw.timing,
            int(not all(wanted.values())),
        )
    except GanserveError:
        models.note(model, "fail", begun)
        raise
    models.note(model, "success", begun)
    return answer


def _require_few(drawing: DrawingCall, wanted: dict[str, bool], n: int) -> None:
    """Raises InvalidField where so many images are too many, with what is wanted beside them."""
    if any(name != IMAGE for name in wanted):
        everything, _ = drawing.model.everything
        most = everything.most_images(drawing.call.models.settings.max_images_per_request)
        if n > most:
            raise InvalidField(
                "outputs", f"With what comes beside them a request may ask for {most} images, not {n}."
            )


def _image(images: NDArray[np.uint8]) -> Tensors:
    return {IMAGE: images}


def _timed(draw: Draw, write: Callable[[Draw, Tensors], T], tensors: Tensors) -> T:
    begun = time.monotonic()
    answer = write(draw, tensors)
    draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, "tensor").observe(draw.timing.encode_seconds)
    return answer


def _answer(
    wanted: dict[str, bool], id: str | None, coding: str | None, draw: Draw, tensors: Tensors
) -> Reply:
    model = draw.model
    document, content = write_response(tensors, wanted, model.name, models.version(model), id)
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
    return Reply(200, "application/octet-stream" if content else JSON, body, headers)


async def _understood(
    call: Call, name: str, version: str | None, asked: InferRequest, binary: memoryview
) -> tuple[DrawingCall, Inputs]:
    """Which model is to draw, and what. Raises what `DrawingCall.begin` and read_inputs raise."""
    timeout = (asked.parameters or InferParameters()).timeout / 1e6 or None
    found = find(call.models, name, version)
    if asked.model_name not in (None, found.name):
        raise UnknownModel(f"The path names the model {name}, and the body '{asked.model_name[:64]}'.")
    named = asked.model_version if version is None else version
    if asked.model_version is not None and find(call.models, name, asked.model_version) is not find(
        call.models, name, named
    ):
        raise UnknownModel(f"The path names version {version}, and the body {asked.model_version}.")
    drawing = await DrawingCall.begin(call, timeout, lambda: find(call.models, name, named))
    inputs = read_inputs(asked, binary, drawing.model.contract, drawing.most_images)
    if named is None:
        seed = inputs.seeds[0] if inputs.seeds else None
        picked = await DrawingCall.begin(call, timeout, lambda: call.models.pick(name, seed))
        if picked.model is not drawing.model:
            return picked, read_inputs(asked, binary, picked.model.contract, picked.most_images)
    return drawing, inputs
