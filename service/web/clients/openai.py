"""POST /v1/images/generations: OpenAI's Images API, so that its clients work unchanged. The prompt names a class, or is a text."""

import re
import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.drawing import formats, sizes
from service.drawing.draw import Draw, picture
from service.drawing.encoders import encoded
from service.drawing.sampler import SampleRequest, asked_as
from service.drawing.sizes import MOST_RESIZED_PIXELS, Size
from service.errors import InvalidField
from service.generator import images
from service.generator.contract import ImageShape
from service.generator.file.named import written
from service.web.clients import prompts
from service.web.clients.openai_messages import (
    Completed,
    GeneratedImage,
    GenerationRequest,
    Generations,
)
from service.web.http.asgi import Call, Reply, header
from service.web.http.bodies import read_request
from service.web.http.drawing_call import DrawingCall, address_headers
from service.web.http.route import DRAWING_ERRORS, EVENTS, IMAGE_HEADERS, JSON, Answer, Body, Event, Route

GENERATIONS = "/v1/images/generations"
SIZE_HEADER = "ganserve-size"

# What a browser or curl sends. The header goes into addresses that others will open, so nothing else may.
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE
)

_PREFIX = re.compile(r"(?:/[\w.~-]{1,64}){1,8}/?", re.ASCII)


class Picture(Struct, frozen=True):
    """How an image leaves: in which size and format; quality: of one that has it."""

    size: Size
    format: formats.Picture
    quality: int


_decoder = msgspec.json.Decoder(GenerationRequest)


async def post_generations(call: Call) -> Reply:
    """POST /v1/images/generations. Raises the errors of the taxonomy."""
    asked = await read_request(call, _decoder)
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    contract = drawing.model.contract
    label, text = prompts.understood(asked.prompt or "", contract)
    n = asked.n or 1
    meant = SampleRequest(label=label, n=n, seed=asked.seed, scalars=asked.scalars, text=text)
    meant.truncation = 1.0 if asked.truncation is None else asked.truncation
    with asked_as("prompt", "text"):
        draw = drawing.resolve(meant)
    picture = picture_of(asked, contract.image, n)
    nearest = {} if asked.size in (None, "auto", f"{picture.size}") else {SIZE_HEADER: f"{picture.size}"}
    if asked.response_format == "url":
        if asked.stream:
            raise InvalidField("response_format", "A stream has images, not addresses: ask for b64_json.")
        folder = _folder(draw, _origin(call))
        addressed = msgspec.json.encode(_reply(draw, picture, meant, folder))
        # Each image counts when it is opened.
        call.take(0)
        return Reply(200, JSON, addressed, address_headers(draw) | nearest)
    pixels = n * picture.size.height * picture.size.width
    if asked.stream:
        encode, media_type = partial(streamed, draw, picture), EVENTS
    else:
        # Some clients never say which of the two they are going to read.
        folder = _folder(draw, _origin(call)) if asked.response_format is None and _has_address(call) else ""
        encode, media_type = partial(drawn_json, draw, picture, meant, folder), JSON
    reply = await drawing.reply(
        draw,
        media_type,
        lambda: encoded(draw, drawing.deadline, picture.format, pixels, encode),
    )
    reply.headers |= nearest
    return reply


def picture_of(asked: GenerationRequest, native: ImageShape, n: int) -> Picture:
    """In the size that is nearest to what was asked for.

    Raises InvalidField: text that is no size, too many images of it, a compression that the format does not have.
    """
    format = asked.output_format or "png"
    quality = 100 if asked.output_compression is None else asked.output_compression
    if quality < 100 and format not in formats.QUALITIES:
        raise InvalidField(
            "output_compression",
            f"{format} is lossless here: output_compression can be 100 only, or ask for jpeg or avif.",
        )
    formats.check(format, None, 1, native.height, native.width)
    if asked.size in (None, "auto"):
        return Picture(sizes.own(native), format, quality)
    size = sizes.nearest(asked.size, native)
    if size != sizes.own(native) and n * size.width * size.height > MOST_RESIZED_PIXELS:
        most = MOST_RESIZED_PIXELS // (size.width * size.height)
        raise InvalidField("n", f"n is {n}; of {size} one reply has at most {most} images.")
    return Picture(size, format, quality)


def _has_address(call: Call) -> bool:
    try:
        return bool(_origin(call))
    except InvalidField:
        return False


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


def files_of(draw: Draw, meant: Picture, pixels: NDArray[np.uint8]) -> list[bytes]:
    """One file an image. pixels: uint8 [n, C, H, W]."""
    size = None if meant.size == sizes.own(draw.model.contract.image) else meant.size
    resized = (images.resize(image, meant.size.height, meant.size.width) for image in pixels)
    # To the byte what the image's address gives.
    return [
        picture(draw.alone(i), meant.format, image, meant.quality, size) for i, image in enumerate(resized)
    ]


def drawn_json(
    draw: Draw,
    picture: Picture,
    meant: SampleRequest,
    folder: str,
    pixels: NDArray[np.uint8],
    seeds: Sequence[int] | None = None,
) -> bytes:
    """The reply with the images in it. pixels: uint8 [n, C, H, W]. folder: of their addresses, which have none if it is empty.

    seeds: those to be told, where they are not the draw's own.
    """
    reply = _reply(draw, picture, meant, folder)
    for one, seed in zip(reply.data, seeds or (), strict=bool(seeds)):
        one.seed = seed
    for one, file in zip(reply.data, files_of(draw, picture, pixels), strict=True):
        one.b64_json = file
    return msgspec.json.encode(reply)


def streamed(
    draw: Draw, picture: Picture, pixels: NDArray[np.uint8], event_type: str = "image_generation.completed"
) -> bytes:
    """The events of a stream: each image whole, since one pass of a generator draws it whole."""
    reply = _reply(draw, picture, SampleRequest(), "")
    events = []
    for one, file in zip(reply.data, files_of(draw, picture, pixels), strict=True):
        event = Completed(
            file,
            reply.created,
            reply.size,
            picture.format,
            one.seed,
            one.revised_prompt,
            reply.model,
            reply.version,
            type=event_type,
        )
        events.append(b"event: %b\ndata: %b\n\n" % (event.type.encode(), msgspec.json.encode(event)))
    return b"".join(events)


def _folder(draw: Draw, origin: str) -> str:
    """What the addresses of these images begin with; they can be cached for ever."""
    model = draw.model
    folder = f"{origin}/v1/models/{model.name}@{model.version}/images/"
    return folder if draw.label is None else f"{folder}{quote(model.contract.slugs[draw.label[0]])}/"


def _reply(draw: Draw, picture: Picture, meant: SampleRequest, folder: str) -> Generations:
    """The reply, with no images in it yet."""
    model = draw.model
    classes = model.contract.classes
    texts = draw.texts or [""] * len(draw.z)
    named = None if draw.label is None or classes is None else classes[draw.label[0]]
    query = [] if meant.truncation == 1 else [f"truncation={meant.truncation!r}"]
    query += [] if picture.size == sizes.own(model.contract.image) else [f"size={picture.size}"]
    if formats.QUALITIES.get(picture.format, picture.quality) != picture.quality:
        query.append(f"quality={picture.quality}")
    data = []
    for i, seed in enumerate(draw.seeds or [None] * len(draw.z)):
        fields = "&".join([*query, *written(model.contract.declared, meant.scalars, i, texts[i])])
        end = f".{formats.suffix(picture.format)}" + (f"?{fields}" if fields else "")
        url = f"{folder}{seed}{end}" if folder else None
        data.append(GeneratedImage(seed, url=url, revised_prompt=texts[i] or named))
    return Generations(int(time.time()), data, f"{picture.size}", picture.format, model.name, model.version)


_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image, or first-last."}
_SIZE_HEADER = {SIZE_HEADER: "The size of the images, where another was asked for."}
ROUTES = [
    Route(
        *("POST", GENERATIONS, post_generations, "sample"),
        "OpenAI's Images API",
        {
            200: Answer(
                "The images, or their addresses.",
                {JSON: Generations, EVENTS: Event},
                IMAGE_HEADERS | _SEEDS_HEADER | _SIZE_HEADER,
            )
        },
        DRAWING_ERRORS,
        "For OpenAI's clients, with this server's /v1 as their `base_url`, and any key where none is configured. The prompt "
        "names a class, or is the text of a model that reads one; each image of the reply has its `seed`, and the class or text as "
        "`revised_prompt`.",
        Body(
            GenerationRequest,
            {
                "four sneakers": {"prompt": "a photo of a sneaker", "n": 4},
                "a stream": {"prompt": "two bags", "n": 2, "seed": 1, "stream": True},
                "addresses": {"prompt": "Bag", "n": 2, "seed": 7, "response_format": "url"},
                "larger": {"prompt": "ankle boots", "size": "256x256", "output_format": "jpeg"},
            },
        ),
    )
]
