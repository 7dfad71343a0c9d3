"""POST /v1/images/edits: OpenAI's, as forms: a picture of a picture, by a generator that is given one."""

from functools import partial

import numpy as np

from service.drawing.encoders import encoded
from service.drawing.sampler import SampleRequest, asked_as
from service.drawing.translation import laid_in, source_of, takes_pictures
from service.drawing.uploads import decoded
from service.errors import InvalidField
from service.registry.model import Model
from service.web.clients import prompts
from service.web.clients.openai import SIZE_HEADER, drawn_json, picture_of, streamed
from service.web.clients.openai_messages import EditRequest, Generations
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.drawing_call import DrawingCall, drawn_headers
from service.web.http.route import DRAWING_ERRORS, EVENTS, IMAGE_HEADERS, JSON, Answer, Body, Event, Route
from service.web.http.uploads import FORM, read_form

EDITS = "/v1/images/edits"


async def post_edits(call: Call) -> Reply:
    """POST /v1/images/edits. Raises the errors of the taxonomy."""
    asked = await read_form(call, EditRequest, "image")
    drawing = await DrawingCall.begin(
        call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed, takes_pictures)
    )
    model, n = drawing.model, asked.n or len(asked.image)
    # Before anything is decoded.
    source = source_of(model)
    label, text = _check(asked, n, model, drawing.most_images)
    picture = picture_of(asked, model.contract.image, n)
    call.take(n)

    async def edited() -> Reply:
        pixels = (await decoded(asked.image, source, drawing.deadline, "image")).pixels
        model.require_ready()  # it may have been taken away meanwhile
        if len(pixels) < n:
            pixels = np.repeat(pixels, n, axis=0)
        with asked_as("prompt", "text"):
            call.draw = draw = laid_in(model, pixels, label, asked.seed, asked.scalars, text)
        if asked.truncation is not None:
            assert isinstance(draw.z, np.ndarray)
            draw.z = model.contract.truncated(draw.z, asked.truncation)
        if asked.stream:
            encode, media_type = partial(streamed, draw, picture, event_type="image_edit.completed"), EVENTS
        else:
            encode, media_type = partial(drawn_json, draw, picture, SampleRequest(), ""), JSON
        size = n * picture.size.height * picture.size.width
        body = await encoded(draw, drawing.deadline, picture.format, size, encode)
        return Reply(200, media_type, body, drawn_headers(draw))

    reply = await unless_client_goes(call.receive, edited())
    if asked.size not in (None, "auto", f"{picture.size}"):
        reply.headers[SIZE_HEADER] = f"{picture.size}"
    return reply


def _check(asked: EditRequest, n: int, model: Model, most: int) -> tuple[int | None, str | None]:
    """Returns the class of all, or the text. Raises InvalidField."""
    contract, count = model.contract, len(asked.image)
    if asked.response_format == "url":
        raise InvalidField("response_format", "What is made of a picture has no address: ask for b64_json.")
    if n != count and (count > 1 or not contract.uses_seed):
        raise InvalidField("n", f"n is {n}; model {model.name} makes one image of each picture.")
    if n > most:
        raise InvalidField("n", f"There would be {n} images; allowed are 1 to {most}.")
    model.require_truncation(1.0 if asked.truncation is None else asked.truncation)
    return prompts.understood(asked.prompt or "", contract)


_HEADERS = {
    "ganserve-seeds": "Seed of the image, or first-last; absent where the model draws nothing beside the picture.",
    SIZE_HEADER: "The size of the images, where another was asked for.",
}
ROUTES = [
    Route(
        *("POST", EDITS, post_edits, "sample"),
        "OpenAI's edits of a picture",
        {200: Answer("The images.", {JSON: Generations, EVENTS: Event}, IMAGE_HEADERS | _HEADERS)},
        DRAWING_ERRORS,
        "For `client.images.edit(image=..., prompt=...)` of OpenAI's clients, and a generator that is given a picture, as its "
        "card's `source` says. The prompt names a class, where there are some. `n` images of one picture differ by their seeds.",
        Body(EditRequest, media_type=FORM),
    )
]
