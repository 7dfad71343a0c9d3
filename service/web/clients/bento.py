"""POST /sample, for BentoML's own clients: the one route that BentoML answers, under our limits.

`bentoml.SyncHTTPClient(url).sample(label="Sneaker", n=4)` is an ndarray uint8 [n, H, W, C]. Images travel as
nested JSON lists, because those clients read nothing else: /v1/samples with format npy is many times quicker.
"""

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing.encoders import encoded
from service.drawing.fields import FirstSeed, Label, ModelName, ScalarsPerImage, Text, Timeout, Truncation
from service.drawing.mixing import Weights
from service.drawing.sampler import SampleRequest
from service.web.http.asgi import CLIENT_GONE, Call, ClientGone, Message, Receive, Reply
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall
from service.web.http.problems import reply_to
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route

SCHEMA = "/schema.json"
"""Where BentoML's clients read which methods there are."""
CALL = "ganserve.call"
"""Where BentoML carries a request's Call through its app, in the ASGI scope."""


class BentoRequest(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The arguments of app.Ganserve.sample: BentoML would take a wrong type for a right one, and any field."""

    model: ModelName = None
    label: Annotated[
        Label | Weights | None,
        Meta(
            description="Class name in any case, its slug, or its index; an object of weights by class, where the model's card says `mixes_classes`. Absent: image i has class (seed + i) mod K."
        ),
    ] = None
    n: Annotated[
        int,
        Meta(ge=1, description="How many images, 1 to {settings.max_images_per_request}; by default 1."),
    ] = 1
    seed: FirstSeed = None
    truncation: Truncation = 1.0
    scalars: ScalarsPerImage = None
    text: Text = None
    timeout: Timeout = None


_decoder = msgspec.json.Decoder(BentoRequest)
# All of one width: JSON allows blanks.
_ENTRIES = np.array([list(f"{level:3},".encode()) for level in range(256)], np.uint8)


async def checked(call: Call) -> Receive:
    """A `receive` for BentoML, with a body that is fit for `sample`. Raises whatever is wrong with it.

    BentoML itself reads bodies of any length, and multipart and pickles beside JSON.
    """
    body = msgspec.json.encode(await read_request(call, _decoder))
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await call.receive()

    return receive_again


async def sample(call: Call, asked: SampleRequest) -> Reply:
    """The images as nested lists [n][H][W][C], or the problem that there is; raises nothing, or BentoML would word it.

    call: its body has been read.
    """
    try:
        drawing = await DrawingCall.begin(
            call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed)
        )
        draw, image = drawing.resolve(asked), drawing.model.contract.image
        pixels = len(draw.z) * image.height * image.width
        return await drawing.reply(
            draw, JSON, lambda: encoded(draw, drawing.deadline, "lists", pixels, lists)
        )
    except ClientGone:
        return Reply(CLIENT_GONE, "text/plain")
    except Exception as error:
        return reply_to(error)


def lists(images: NDArray[np.uint8]) -> bytes:
    """images: uint8 [n, C, H, W]. Returns JSON: lists [n][H][W][C].

    By NumPy: Python's own lists of 256 images of 28x28 hold the interpreter's lock for 60 ms at a stretch, this for 3.
    """
    text = _ENTRIES[images.transpose(0, 2, 3, 1)]  # uint8 [n, H, W, C, 4]
    while text.ndim > 1:
        text[..., -1, -1] = ord("]")  # where the last entry's comma is
        entries = text.reshape(*text.shape[:-2], -1)
        text = np.empty((*entries.shape[:-1], entries.shape[-1] + 2), np.uint8)
        text[..., 0], text[..., 1:-1], text[..., -1] = ord("["), entries, ord(",")
    return text[:-1].tobytes()


_Level = Annotated[int, Meta(ge=0, le=255)]
_Pixel = Annotated[list[_Level], Meta(description="channels: 1 (grey), 3 (RGB) or 4 (RGBA)")]
_Row = Annotated[list[_Pixel], Meta(description="width")]
_Image = Annotated[list[_Row], Meta(description="height")]
_Images = Annotated[list[_Image], Meta(description="n")]
_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image, or first-last."}
ROUTES = [
    Route(
        *("POST", "/sample", None, "sample"),
        "BentoML's own clients",
        {
            200: Answer(
                "uint8 [n, height, width, channels].",
                {JSON: _Images},
                IMAGE_HEADERS | _SEEDS_HEADER,
            )
        },
        DRAWING_ERRORS,
        "`bentoml.SyncHTTPClient(url).sample(label='Sneaker', n=4)` is an ndarray uint8 [n, height, width, channels]. As "
        "nested lists, the only form those clients read: for many images /v1/samples with format npy is quicker.",
        Body(BentoRequest, {"four sneakers": {"label": "Sneaker", "n": 4, "seed": 1}}),
    ),
    Route(
        *("GET", SCHEMA, None, "sample"),
        "The methods that BentoML's clients find",
        {200: Answer("Names, routes, inputs and outputs.", {JSON: dict[str, Any]})},
        text="BentoML's own document.",
    ),
]
