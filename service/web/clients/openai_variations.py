"""POST /v1/images/variations: OpenAI's variations of a picture. Its z is found, and others near it are drawn."""

import math
import secrets
import time
from functools import partial
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing.draw import Draw
from service.drawing.encoders import encoded
from service.drawing.fields import TIMEOUT, Fraction, ModelName, Seconds, Seed
from service.drawing.formats import Picture as Format
from service.drawing.latent.inversions import Found, find
from service.errors import InvalidField
from service.generator.latents import MAX_SEED
from service.registry.model import Model
from service.web.clients.openai import SIZE_HEADER, Picture, files_of, picture_of
from service.web.clients.openai_messages import GeneratedImage, GenerationRequest, Generations
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
    model: ModelName = None
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
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    model, n = drawing.model, asked.n
    model.beside.require()
    if n > drawing.most_images:
        raise InvalidField("n", f"n is {n}; allowed are 1 to {drawing.most_images}.")
    first = secrets.randbits(32) if asked.seed is None else asked.seed
    if first + n - 1 > MAX_SEED:
        raise InvalidField("seed", f"seed + n - 1 is {first + n - 1}; it can be at most {MAX_SEED}.")
    form = GenerationRequest(size=asked.size, output_format=asked.output_format)
    picture = picture_of(form, model.contract.image, n)
    call.take(n)

    async def varied() -> Reply:
        found = await find(asked.image, None, model, drawing.deadline, "image")
        call.draw = draw = _near(found, model, range(first, first + n), asked.step)
        pixels = n * picture.size.height * picture.size.width
        seeds = range(first, first + n)
        encode = partial(_encoded, draw, picture, seeds)
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


def _encoded(draw: Draw, picture: Picture, seeds: range, pixels: NDArray[np.uint8]) -> bytes:
    """pixels: uint8 [n, C, H, W]."""
    model, classes = draw.model, draw.model.contract.classes
    data = [
        GeneratedImage(
            seeds[i],
            b64_json=file,
            revised_prompt=None if classes is None or draw.label is None else classes[draw.label[i]],
        )
        for i, file in enumerate(files_of(draw, picture, pixels))
    ]
    return msgspec.json.encode(
        Generations(int(time.time()), data, f"{picture.size}", picture.format, model.name, model.version)
    )


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
