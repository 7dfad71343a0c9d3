"""POST /v1/images/variations: OpenAI's variations of a picture. Its z is found, and others near it are drawn."""

import math
from functools import partial
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from service.drawing.draw import Draw
from service.drawing.encoders import encoded
from service.drawing.fields import TIMEOUT, FittingModelName, Fraction, Seconds, Seed
from service.drawing.formats import Picture as Format
from service.drawing.latent.inversions import Found, find, has_encoder
from service.drawing.sampler import SampleRequest, seeds_from
from service.errors import InvalidField
from service.registry.model import Model
from service.web.clients.openai import SIZE_HEADER, drawn_json, picture_of
from service.web.clients.openai_messages import GenerationRequest, Generations
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.drawing_call import DrawingCall, drawn_headers
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route
from service.web.http.uploads import FORM, read_form

STEP = 0.4


class VariationRequest(Struct, forbid_unknown_fields=True):
    """OpenAI's fields, as parts of a form, and seed, step, output_format and timeout."""

    image: Annotated[
        list[bytes],
        Meta(
            min_length=1,
            max_length=1,
            description="A PNG, JPEG or WebP, as /v1/inversions takes it.",
        ),
    ]
    model: FittingModelName = None
    n: Annotated[int, Meta(ge=1, description="How many variations.")] = 1
    size: Annotated[str | None, Meta(description="As /v1/images/generations has it.")] = None
    response_format: Annotated[
        Literal["b64_json"] | None,
        Meta(
            description="`b64_json`, which it is by default too: a variation is no seed's own, so it has no address."
        ),
    ] = None
    output_format: Annotated[Format | None, Meta(description="Ours. As /v1/images/generations has it.")] = (
        None
    )
    seed: Annotated[
        Seed | None,
        Meta(
            description="Ours. Of the first step; variation i goes where seed + i says. By default drawn, and returned."
        ),
    ] = None
    step: Annotated[
        Fraction,
        Meta(
            description=f"Ours. How far from the picture's own z: above 0, and 1 is anywhere. By default {STEP}."
        ),
    ] = STEP
    timeout: Annotated[Seconds | None, Meta(description=f"Ours. {TIMEOUT}")] = None
    user: Annotated[str | None, Meta(description="Taken, and without effect.")] = None


async def post_variations(call: Call) -> Reply:
    """POST /v1/images/variations. Raises the errors of the taxonomy."""
    asked = await read_form(call, VariationRequest, "image")
    drawing = await DrawingCall.begin(
        call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed, has_encoder)
    )
    model, n = drawing.model, asked.n
    model.beside.require("z")
    if n > drawing.most_images:
        raise InvalidField("n", f"n is {n}; allowed are 1 to {drawing.most_images}.")
    seeds = seeds_from(asked.seed, n)
    form = GenerationRequest(size=asked.size, output_format=asked.output_format)
    picture = picture_of(form, model.contract.image, n)
    call.take(n)

    async def varied() -> Reply:
        found = await find(asked.image, None, model, drawing.deadline, "image")
        call.draw = draw = _near(found, model, seeds, asked.step)
        pixels = n * picture.size.height * picture.size.width
        encode = partial(drawn_json, draw, picture, SampleRequest(), "", seeds=seeds)
        body = await encoded(draw, drawing.deadline, picture.format, pixels, encode)
        return Reply(200, JSON, body, drawn_headers(draw))

    reply = await unless_client_goes(call.receive, varied())
    if asked.size not in (None, "auto", f"{picture.size}"):
        reply.headers[SIZE_HEADER] = f"{picture.size}"
    return reply


def _near(found: Found, model: Model, seeds: range, step: float) -> Draw:
    """What draws variations: z a step towards that of each seed, on the arc between, so that it stays as long as z are.

    Raises NotReady where the model was taken away meanwhile.
    """
    model.require_ready()
    contract, n = model.contract, len(seeds)
    z = math.sqrt(1 - step**2) * found.z + step * contract.drawn(seeds)
    label = None if found.label is None else found.label * n
    return Draw(model, None, label, contract.with_scalars(z.astype(np.float32), None))


ROUTES = [
    Route(
        *("POST", "/v1/images/variations", post_variations, "sample"),
        "OpenAI's variations of a picture",
        {
            200: Answer(
                "The variations.",
                {JSON: Generations},
                IMAGE_HEADERS | {SIZE_HEADER: "The size of the images, where another was asked for."},
            )
        },
        DRAWING_ERRORS,
        "For OpenAI's clients, as they send it. For a model with an encoder, which finds the picture's z, as /v1/inversions does; the "
        "variations are drawn near it, in the class that the encoder takes the picture for, which is their `revised_prompt`.",
        Body(VariationRequest, media_type=FORM),
    )
]
