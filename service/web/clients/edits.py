"""POST /v1/images/edits: OpenAI's, as forms: a picture of a picture, by a generator that is given one."""

from functools import partial
from typing import Any

import msgspec
import numpy as np

from service.drawing.draw import Draw
from service.drawing.encoders import encoded
from service.drawing.sampler import SampleRequest
from service.drawing.translation import laid_in, require_source
from service.drawing.uploads import pictures
from service.errors import InvalidField, UnsupportedType
from service.registry.model import Model
from service.web.clients import prompts
from service.web.clients.forms import FORM, Form, read_form
from service.web.clients.openai import EVENTS, SIZE_HEADER, drawn_json, picture_of, streamed
from service.web.clients.openai_messages import EditRequest, Generations
from service.web.http.asgi import Call, Reply, header
from service.web.http.bodies import invalid_field, read_inflated
from service.web.http.drawing_call import DrawingCall
from service.web.http.pictures import decoded
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route

EDITS = "/v1/images/edits"
_SCALARS = "scalars["


async def post_edits(call: Call) -> Reply:
    """POST /v1/images/edits. Raises the errors of the taxonomy."""
    declared = header(call.scope, b"content-type") or ""
    if declared.partition(";")[0].strip().lower() != FORM:
        raise UnsupportedType(f"The content type is '{declared[:64]}'; allowed is {FORM}.")
    body = await read_inflated(call)
    deadline = call.begun + call.models.settings.timeout_seconds
    form = await decoded(len(body), deadline, partial(read_form, body, declared))
    asked = _understood(form)
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    model = drawing.model
    require_source(model)
    size = sum(map(len, asked.image))
    draw = await decoded(size, drawing.deadline, partial(_draw, asked, model, drawing.most_images))
    model.require_ready()  # it may have been taken away meanwhile
    n = len(draw.z)
    picture = picture_of(asked, model.contract.image, n)
    if asked.stream:
        encode, media_type = partial(streamed, draw, picture, event_type="image_edit.completed"), EVENTS
    else:
        encode, media_type = partial(drawn_json, draw, picture, SampleRequest(), ""), JSON
    pixels = n * picture.size.height * picture.size.width
    reply = await drawing.reply(
        draw, media_type, lambda: encoded(draw, drawing.deadline, picture.format, pixels, encode)
    )
    if asked.size not in (None, "auto", f"{picture.size}"):
        reply.headers[SIZE_HEADER] = f"{picture.size}"
    return reply


def _understood(form: Form) -> EditRequest:
    """Raises InvalidField."""
    fields: dict[str, Any] = {}
    scalars: dict[str, str] = {}
    for name, values in form.texts.items():
        if len(values) > 1:
            raise InvalidField(name[:64], f"{name[:64]} is in the form twice.")
        if name.startswith(_SCALARS):
            scalars[name.removeprefix(_SCALARS).removesuffix("]")] = values[0]
        elif name in ("image", "image[]", "mask"):
            raise InvalidField(name, f"{name} is a text; it must be a file.")
        else:
            fields[name] = values[0]
    files = dict(form.files)
    images = files.pop("image", []) + files.pop("image[]", [])
    if "mask" in files:
        raise InvalidField("mask", "A generator here has no room for a mask: leave it out.")
    if unknown := next(iter(files), None):
        raise InvalidField(unknown[:64], f"There is no file '{unknown[:64]}'; allowed is image.")
    if not images:
        raise InvalidField("image", "The file 'image' is missing.")
    fields |= {"image": images} | ({"scalars": scalars} if scalars else {})
    try:
        return msgspec.convert(fields, EditRequest, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_field(error, EditRequest) from None


def _draw(asked: EditRequest, model: Model, most: int) -> Draw:
    """Decodes the pictures. Raises InvalidField."""
    contract = model.contract
    assert contract.source is not None
    if asked.response_format == "url":
        raise InvalidField("response_format", "What is made of a picture has no address: ask for b64_json.")
    count, n = len(asked.image), asked.n or len(asked.image)
    if n != count and (count > 1 or not contract.uses_seed):
        raise InvalidField("n", f"n is {n}; model {model.name} makes one image of each of {count}.")
    if not 1 <= n <= most:
        raise InvalidField("n", f"n asks for {n} images; allowed are 1 to {most}.")
    label = None if contract.classes is None else prompts.match(asked.prompt or "", contract)
    pixels = pictures(asked.image, contract.source, "image").pixels
    if count < n:
        pixels = np.repeat(pixels, n, axis=0)
    draw = laid_in(model, pixels, label, asked.seed, asked.scalars)
    if asked.truncation not in (None, 1):
        model.require_truncation(asked.truncation)
        assert isinstance(draw.z, np.ndarray)
        draw.z = contract.truncated(draw.z, asked.truncation)
    return draw


_HEADERS = {
    "ganserve-seeds": "Seed of the image, or first-last; absent where the model draws nothing beside the picture.",
    SIZE_HEADER: "The size of the images, where another was asked for.",
}
ROUTES = [
    Route(
        *("POST", EDITS, post_edits, "sample"),
        "OpenAI's edits of a picture",
        {200: Answer("The images.", {JSON: Generations, EVENTS: str}, IMAGE_HEADERS | _HEADERS)},
        DRAWING_ERRORS,
        "For `client.images.edit(image=..., prompt=...)` of OpenAI's clients, and a generator that is given a picture, as its "
        "card's `source` says. The prompt names a class, where there are some. `n` images of one picture differ by their seeds.",
        Body(EditRequest, {"a picture": {"image": ["(a file)"], "prompt": ""}}, media_type=FORM),
    )
]
