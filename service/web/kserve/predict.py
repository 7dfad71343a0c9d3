"""POST /v1/models/{model}:predict: KServe V1, which TensorFlow Serving has too."""

import math
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.drawing import mixing
from service.drawing.draw import Draw
from service.drawing.encoders import encoded
from service.drawing.fields import Label, Scalars, Text, Timeout, Truncation
from service.drawing.mixing import Weights, label_index
from service.drawing.sampler import explicit_z
from service.errors import InvalidField
from service.generator.contract import Contract
from service.generator.file.named import chosen_by_name
from service.generator.latents import MAX_SEED
from service.registry.model import Model
from service.web.clients.bento import lists
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall, address_headers, timing_of
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Parameter, Route

_Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]


class Instance(Struct, forbid_unknown_fields=True):
    """One image."""

    seed: Annotated[_Seed | None, Meta(description="Its seed; either that or z.")] = None
    label: Annotated[
        Label | Weights | None,
        Meta(
            description="Class name, slug or index; or weights of several, where the model's card says `mixes_classes`. Absent: seed mod K, or place mod K for z."
        ),
    ] = None
    z: Annotated[list[float] | None, Meta(description="z_dim numbers, instead of a seed.")] = None
    scalars: Scalars = None
    text: Text = None


class PredictParameters(Struct, forbid_unknown_fields=True):
    truncation: Truncation = 1.0
    timeout: Timeout = None


class PredictRequest(Struct, forbid_unknown_fields=True):
    instances: Annotated[
        list[Instance],
        Meta(
            description="One for each image, 1 to {settings.max_images_per_request}; all of them with seed or all with z."
        ),
    ]
    parameters: Annotated[PredictParameters | None, Meta(description="Of all instances.")] = None
    signature_name: Annotated[str | None, Meta(description="Taken, and without effect.")] = None


_decoder = msgspec.json.Decoder(PredictRequest)


async def predict(call: Call, model: str) -> Reply:
    """POST /v1/models/{model}:predict."""
    asked = await read_request(call, _decoder, instances=Instance, parameters=PredictParameters)
    parameters = asked.parameters or PredictParameters()
    first = asked.instances[0].seed if asked.instances else None
    drawing = await DrawingCall.begin(call, parameters.timeout, lambda: call.models.pick(model, first))
    draw = _understood(asked.instances, parameters.truncation, drawing.model, drawing.most_images)
    image = drawing.model.contract.image
    work = partial(encoded, draw, drawing.deadline, "lists", len(draw.z) * image.height * image.width, lists)
    predictions = await drawing.finish(draw, work)
    headers = address_headers(draw) | {"server-timing": timing_of(draw.timing)}
    return Reply(200, JSON, b'{"predictions":' + predictions + b"}", headers)


def _understood(instances: list[Instance], truncation: float, model: Model, most: int) -> Draw:
    """Raises InvalidField."""
    contract, n = model.contract, len(instances)
    model.require_truncation(truncation)
    if not 1 <= n <= most:
        raise InvalidField("instances", f"There are {n} instances; allowed are 1 to {most}.")
    seeds = [one.seed for one in instances if one.seed is not None]
    rows = [one.z for one in instances if one.z is not None]
    if sorted((len(seeds), len(rows))) != [0, n]:
        raise InvalidField("instances", "Every instance must have a seed, or every one z, and none has both.")
    asked = [one.label for one in instances]
    label, weights = None, None
    if contract.classes is not None:
        own = seeds or range(n)
        named = [own[i] % contract.class_count if one is None else one for i, one in enumerate(asked)]
        if mixing.is_mixed(named):
            weights = mixing.rows_of(named, contract)
            label = mixing.heaviest(weights)
        else:
            label = [label_index(one, contract) for one in named if not isinstance(one, dict)]
    elif any(one is not None for one in asked):
        label_index(0, contract)  # raises: it takes none
    scalars = _scalars(instances, contract)
    texts = [one.text or "" for one in instances] if any(one.text for one in instances) else None
    z = (
        contract.seeded(seeds, truncation, scalars, weights, texts)
        if seeds
        else contract.with_scalars(
            contract.truncated(explicit_z(rows, contract), truncation), scalars, weights, texts
        )
    )
    return Draw(model, None, label, z, weights=weights)


def _scalars(instances: list[Instance], contract: Contract) -> dict[str, float | list[float]]:
    """A list each of those that any instance names; NaN is a code of the seed."""
    chosen = [one.scalars or {} for one in instances]
    usual = {
        name: math.nan if one.default is None else one.default
        for name, (one, _) in chosen_by_name(contract.declared).items()
    }
    return {
        name: [one.get(name, usual.get(name, 0.0)) for one in chosen] for name in sorted(set().union(*chosen))
    }


class Predictions(Struct):
    predictions: Annotated[
        list[list[list[list[Annotated[int, Meta(ge=0, le=255)]]]]],
        Meta(description="uint8 [n, height, width, channels]."),
    ]


ROUTES = [
    Route(
        *("POST", "/v1/models/{model}:predict", predict, "sample"),
        "KServe V1",
        {200: Answer("uint8 [n, height, width, channels].", {JSON: Predictions}, IMAGE_HEADERS)},
        DRAWING_ERRORS,
        "What TensorFlow Serving's REST clients and KServe's first protocol send. GET /v1/models/{model} says `ready`. As "
        "nested lists: for many images /v2 in binary, or /v1/samples with format npy, is quicker.",
        Body(
            PredictRequest,
            {"two sneakers": {"instances": [{"seed": 1, "label": "Sneaker"}, {"seed": 2, "label": 7}]}},
        ),
        (Parameter("model", "Model name, or name@version."),),
    )
]
