"""POST / and /models/{model}: text to image, as Hugging Face's InferenceClient asks for it. The prompt names a class, or is a text.

It posts to its `base_url` as it stands: the address of the service, or of a model of it.
"""

from functools import partial
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing import sizes
from service.drawing.draw import Draw, picture
from service.drawing.encoders import encoded
from service.drawing.fields import SCALARS, SEED, TIMEOUT, TRUNCATION, Fraction, Seconds, Seed, as_numbers
from service.drawing.sampler import SampleRequest, asked_as
from service.drawing.sizes import Size
from service.generator import images
from service.generator.contract import ImageShape
from service.web.clients import prompts
from service.web.clients.openai import SIZE_HEADER
from service.web.http.asgi import Call, Reply
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, Answer, Body, Parameter, Route

_PNG = "image/png"
_Side = Annotated[int, Meta(ge=1, le=9999)]
_Ignored = Annotated[
    float | str | None, Meta(description="Taken, and without effect: a generator has one way to draw.")
]


class TextToImage(Struct, forbid_unknown_fields=True):
    """Hugging Face's, and truncation, scalars and timeout. null is as good as absent."""

    height: Annotated[
        _Side | None,
        Meta(
            description="With width: the largest size within both that has the aspect ratio of the generator's own and sides of at most 1024; where that is not what was asked for, the header `ganserve-size` says it. By default the generator's own."
        ),
    ] = None
    width: Annotated[_Side | None, Meta(description="By default as height has it.")] = None
    seed: Annotated[Seed | None, Meta(description=SEED)] = None
    truncation: Annotated[Fraction | None, Meta(description=f"Ours. {TRUNCATION}")] = None
    scalars: Annotated[dict[str, float] | None, Meta(description=f"Ours. {SCALARS}")] = None
    timeout: Annotated[Seconds | None, Meta(description=f"Ours. {TIMEOUT}")] = None
    negative_prompt: _Ignored = None
    num_inference_steps: _Ignored = None
    guidance_scale: _Ignored = None
    scheduler: _Ignored = None


class TextToImageRequest(Struct, forbid_unknown_fields=True):
    inputs: Annotated[
        Annotated[str, Meta(max_length=4000)],
        Meta(
            description="Names one class, as the prompt of /v1/images/generations does; or is the text of a model that reads one; any other unconditional model ignores it."
        ),
    ]
    parameters: Annotated[TextToImage | None, Meta(description="All have defaults.")] = None


_decoder = msgspec.json.Decoder(TextToImageRequest)


async def text_to_image(call: Call, model: str | None = None) -> Reply:
    """POST / and /models/{model}. Raises the errors of the taxonomy."""
    request = await read_request(call, _decoder, parameters=TextToImage)
    asked = request.parameters or TextToImage()
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(model, asked.seed))
    contract = drawing.model.contract
    label, text = prompts.understood(request.inputs, contract)
    truncation = 1.0 if asked.truncation is None else asked.truncation
    scalars = as_numbers(asked.scalars)
    meant = SampleRequest(label=label, seed=asked.seed, truncation=truncation, scalars=scalars, text=text)
    with asked_as("inputs", "text"):
        draw = drawing.resolve(meant)
    size, wanted = _size(asked, contract.image)
    work = partial(
        encoded, draw, drawing.deadline, "png", size.height * size.width, partial(_png, draw, size)
    )
    reply = await drawing.reply(draw, _PNG, work)
    if wanted not in (None, f"{size}"):
        reply.headers[SIZE_HEADER] = f"{size}"
    return reply


def _size(asked: TextToImage, native: ImageShape) -> tuple[Size, str | None]:
    """The size of the image, and the one that was asked for."""
    if asked.height is None and asked.width is None:
        return sizes.own(native), None
    # One side alone leaves the other free.
    wanted = f"{asked.width or 9999}x{asked.height or 9999}"
    size = sizes.nearest(wanted, native)
    met = asked.width in (None, size.width) and asked.height in (None, size.height)
    return size, f"{size}" if met else wanted


def _png(draw: Draw, size: Size, pixels: NDArray[np.uint8]) -> bytes:
    """pixels: uint8 [1, C, H, W]."""
    resized = None if size == sizes.own(draw.model.contract.image) else size
    return picture(draw, "png", images.resize(pixels[0], size.height, size.width), size=resized)


_ANSWERS = {
    200: Answer(
        "The image.",
        {_PNG: str},
        IMAGE_HEADERS
        | {
            "ganserve-seeds": "Seed of the image.",
            SIZE_HEADER: "The size of the image, where another was asked for.",
        },
    )
}
_TEXT = """For `InferenceClient(base_url=...).text_to_image(prompt)` of huggingface_hub. The address is that of the
server, for the default model, or /models/{model} under it."""
ROUTES = [
    Route(
        *("POST", path, text_to_image, "sample"),
        "Hugging Face's text to image",
        _ANSWERS,
        DRAWING_ERRORS,
        _TEXT,
        Body(
            TextToImageRequest, {"a sneaker": {"inputs": "a photo of a sneaker", "parameters": {"seed": 1}}}
        ),
        parameters,
    )
    for path, parameters in (
        ("/", ()),
        ("/models/{model}", (Parameter("model", "Model name, or name@version."),)),
    )
]
