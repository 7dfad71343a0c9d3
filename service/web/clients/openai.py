"""POST /v1/images/generations: OpenAI's Images API, so that its clients work unchanged. The prompt names a class."""

import re
import time
from functools import partial
from urllib.parse import quote

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.drawing import formats
from service.drawing.encoders import encoded
from service.drawing.sampler import Draw, SampleRequest
from service.errors import InvalidField
from service.generator import images
from service.generator.contract import ImageShape
from service.web.clients import prompts
from service.web.clients.openai_messages import GeneratedImage, GenerationRequest, Generations
from service.web.http.asgi import Call, Reply, header
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall, address_headers
from service.web.http.route import (
    BODY_ERRORS,
    JSON,
    LABELS_HEADER,
    MODEL_HEADERS,
    SAMPLING_ERRORS,
    Answer,
    Body,
    Route,
)

GENERATIONS = "/v1/images/generations"

MOST_SIDE = 1024
MOST_RESIZED_PIXELS = 16 * MOST_SIDE**2  # of one reply: OpenAI's largest, ten of 1024x1024, and some more

_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})", re.ASCII)
# What a browser or curl sends. The header goes into addresses that others will open, so nothing else may.
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE
)

_PREFIX = re.compile(r"(?:/[\w.~-]{1,64}){1,8}/?", re.ASCII)


class Picture(Struct, frozen=True):
    """How an image leaves: height and width in pixels, format, quality of a JPEG."""

    height: int
    width: int
    format: formats.Picture
    quality: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


_decoder = msgspec.json.Decoder(GenerationRequest)


async def post_generations(call: Call) -> Reply:
    """POST /v1/images/generations. Raises the errors of the taxonomy."""
    asked = await read_request(call, _decoder)
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    contract = drawing.model.contract
    label = None if contract.classes is None else prompts.match(asked.prompt or "", contract)
    if asked.stream:
        raise InvalidField("stream", "stream is true: images come whole, in one reply; allowed is false.")
    truncation = 1.0 if asked.truncation is None else asked.truncation
    n = asked.n or 1
    draw = drawing.resolve(SampleRequest(label=label, n=n, seed=asked.seed, truncation=truncation))
    picture = _picture(asked, contract.image, n)
    if asked.response_format == "url":
        addressed = _addressed(draw, picture, truncation, _origin(call))
        # Each image counts when it is opened.
        call.take(0)
        return Reply(200, JSON, addressed, address_headers(draw))
    pixels, encode = n * picture.height * picture.width, partial(_drawn, draw, picture)
    return await drawing.reply(
        draw,
        JSON,
        lambda: encoded(draw, drawing.deadline, picture.format, pixels, encode),
    )


def _picture(asked: GenerationRequest, native: ImageShape, n: int) -> Picture:
    """Raises InvalidField: no size, another aspect, too large; a compression that the format does not have."""
    format = asked.output_format or "png"
    quality = 100 if asked.output_compression is None else asked.output_compression
    if quality < 100 and format not in formats.QUALITIES:
        raise InvalidField(
            "output_compression",
            f"{format} is lossless here: output_compression can be 100 only, or ask for jpeg or avif.",
        )
    formats.check(format, None, 1, native.height, native.width)
    if asked.size in (None, "auto"):
        return Picture(native.height, native.width, format, quality)
    match = _SIZE.fullmatch(asked.size)
    if match is None:
        raise InvalidField("size", f"size is '{asked.size[:64]}'; {_allowed(native)}")
    width, height = int(match[1]), int(match[2])
    if (width, height) == (native.width, native.height):
        return Picture(height, width, format, quality)
    if max(width, height) > MOST_SIDE or width * native.height != height * native.width:
        raise InvalidField("size", f"size is {width}x{height}; {_allowed(native)}")
    if n * width * height > MOST_RESIZED_PIXELS:
        most = MOST_RESIZED_PIXELS // (width * height)
        raise InvalidField("n", f"n is {n}; of {width}x{height} one reply has at most {most} images.")
    return Picture(height, width, format, quality)


def _allowed(native: ImageShape) -> str:
    return (
        f"allowed are auto, {native.width}x{native.height}, and what has its aspect ratio and sides of at most "
        f"{MOST_SIDE}, as WIDTHxHEIGHT."
    )


def _origin(call: Call) -> str:
    """What addresses begin with. Raises InvalidField for a Host header that is none, or a path that is none.

    Whoever sends these headers gets the reply that they are in, and no cache keeps that for another.
    """
    if public_url := call.models.settings.public_url:
        return public_url.rstrip("/")
    host = header(call.scope, b"host") or ""
    if not _HOST.fullmatch(host):
        raise InvalidField(
            "response_format", "An address needs a Host header with a host name, and a port if any."
        )
    prefix = header(call.scope, b"x-forwarded-prefix") or ""
    if prefix.strip("/") and not _PREFIX.fullmatch(prefix):
        raise InvalidField("response_format", "The header X-Forwarded-Prefix is no path, as /images is one.")
    return f"{call.scope['scheme']}://{host}{prefix.rstrip('/')}"


def _drawn(draw: Draw, picture: Picture, pixels: NDArray[np.uint8]) -> bytes:
    """The reply with the images in it. pixels: uint8 [n, C, H, W]."""
    reply = _reply(draw, picture)
    for one, image in zip(reply.data, pixels, strict=True):
        resized = images.resize(image, picture.height, picture.width)
        one.b64_json = formats.picture(resized, picture.format, picture.quality)
    return msgspec.json.encode(reply)


def _addressed(draw: Draw, picture: Picture, truncation: float, origin: str) -> bytes:
    """The reply with addresses that can be cached for ever; nothing is drawn before one is opened."""
    model = draw.model
    native = model.contract.image
    if (picture.height, picture.width) != (native.height, native.width):
        raise InvalidField(
            "response_format",
            f"An address is of an image of {native.width}x{native.height}, not of {picture.size}: ask for b64_json, or "
            "for no other size.",
        )
    folder = f"{origin}/v1/models/{model.name}@{model.version}/images/"
    if draw.label is not None:
        folder += f"{quote(model.contract.slugs[draw.label[0]])}/"
    fields = [f"truncation={truncation!r}"] if truncation != 1 else []
    if picture.format in formats.QUALITIES:
        fields.append(f"quality={picture.quality}")
    query = f"?{'&'.join(fields)}" if fields else ""
    suffix = "jpg" if picture.format == "jpeg" else picture.format
    reply = _reply(draw, picture)
    for one in reply.data:
        one.url = f"{folder}{one.seed}.{suffix}{query}"
    return msgspec.json.encode(reply)


def _reply(draw: Draw, picture: Picture) -> Generations:
    """The reply, with neither images nor addresses in it yet."""
    model = draw.model
    classes = model.contract.classes
    understood = None if draw.label is None or classes is None else classes[draw.label[0]]
    assert draw.seeds is not None
    data = [GeneratedImage(seed, revised_prompt=understood) for seed in draw.seeds]
    return Generations(int(time.time()), data, picture.size, picture.format, model.name, model.version)


_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image, or first-last."}
ROUTES = [
    Route(
        *("POST", GENERATIONS, post_generations, "sample"),
        "OpenAI's Images API",
        {
            200: Answer(
                "The images, or their addresses.",
                {JSON: Generations},
                MODEL_HEADERS | LABELS_HEADER | _SEEDS_HEADER,
            )
        },
        (*SAMPLING_ERRORS, *BODY_ERRORS),
        "For OpenAI's clients, with this server's /v1 as their `base_url`, and any key where none is configured. The prompt "
        "names a class; each image of the reply has its `seed`, and the class as `revised_prompt`.",
        Body(
            GenerationRequest,
            {
                "four sneakers": {"prompt": "a photo of a sneaker", "n": 4},
                "addresses": {"prompt": "Bag", "n": 2, "seed": 7, "response_format": "url"},
                "larger": {"prompt": "ankle boots", "size": "256x256", "output_format": "jpeg"},
            },
        ),
    )
]
