"""GET /v1/models/{model}/images/...: an image by its address, which browsers and balancers cache for ever."""

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import cast
from urllib.parse import parse_qsl, quote

import numpy as np
from numpy.typing import NDArray

from service.drawing import sizes
from service.drawing.draw import Draw, picture
from service.drawing.encoders import encoded
from service.drawing.fields import TEXT, TRUNCATION, Fraction, Prompt
from service.drawing.formats import (
    BY_SUFFIX,
    MEDIA_TYPES,
    QUALITIES,
    QUALITY,
    Percent,
    Picture,
    preferred,
    suffix,
)
from service.drawing.mixing import label_index
from service.drawing.sampler import Encoding, SampleRequest, encoding_of, sample
from service.drawing.sizes import Size
from service.errors import InvalidField, UnknownRoute
from service.generator import images
from service.generator.contract import Contract
from service.generator.file.named import chosen_by_name, written
from service.generator.latents import MAX_SEED
from service.web.http.asgi import Call, Reply, Scope, header
from service.web.http.drawing_call import DrawingCall, address_headers
from service.web.http.route import IMAGE_HEADERS, SAMPLING_ERRORS, Answer, Parameter, Route

_IMAGE_FILE = re.compile(rf"(\d{{1,16}})(?:\.({'|'.join(BY_SUFFIX)}))?", re.ASCII)

_PICTURES: tuple[Picture, ...] = ("png", "webp", "jpeg", "avif")
_FIELDS = ("truncation", "quality", "size")
_NO_TAG = re.compile(r"[^\w.]+", re.ASCII)

IMMUTABLE = "public, max-age=31536000, immutable"
# Where keys are configured, no shared cache may hand a picture to those who have none (docs/security.md).
PRIVATE = IMMUTABLE.replace("public", "private")


async def get_image(call: Call, model: str, file: str, label: str | None = None) -> Reply:
    """GET /v1/models/{model}/images/{label}/{seed}.png: to the versioned address, or from it.

    Without a label, the image has class seed mod K; without a suffix, the format that the Accept header likes best.
    """
    match = _IMAGE_FILE.fullmatch(file)
    if match is None:
        raise UnknownRoute(
            f"'{file[:64]}' is no image: allowed are a seed, 0 to {MAX_SEED}, and .{', .'.join(BY_SUFFIX)} or nothing."
        )
    seed = int(match[1])
    format = cast(
        Picture, BY_SUFFIX.get(match[2]) or preferred(header(call.scope, b"accept"), _PICTURES) or "png"
    )
    end = suffix(format)
    drawing = await DrawingCall.begin(call, None, lambda: call.models.pick(model, seed))
    generator = drawing.model
    named = list(chosen_by_name(generator.contract.declared))
    asked, wanted = _query(call.scope, named, reads=generator.contract.text is not None)
    asked.format, asked.seed = format, min(seed, MAX_SEED)
    generator.require_truncation(asked.truncation)
    index = None if label is None else label_index(label, generator.contract)
    size = None if wanted is None else sizes.exact(wanted, generator.contract.image)
    if size == sizes.own(generator.contract.image):
        size = None
    if seed > MAX_SEED:
        raise InvalidField("seed", f"seed is {seed}; it can be at most {MAX_SEED}.")
    asked.label = index
    draw = drawing.resolve(asked)
    encoding, query = encoding_of(asked, draw, None), _written(asked, size, generator.contract)
    name = f"{seed}.{end}" if index is None else f"{generator.contract.slugs[index]}/{seed}.{end}"
    if "@" not in model or match[2] != end:
        # Relative: right behind whatever proxy, under whatever path and name that gives the service.
        models = "../../" if label is None else "../../../"
        location = f"{models}{generator.name}@{generator.version}/images/{quote(name)}{query}"
        headers = {"location": location, "cache-control": "no-cache"}
        return Reply(307, "text/plain", b"", headers if match[2] else headers | {"vary": "accept"})
    # Another engine or precision may change low bits, so the tag of the bytes names them.
    engine = generator.engine
    etag = f'"{generator.version}-{engine.name}-{engine.precision}-{quote(name)}{_NO_TAG.sub("-", query)}{"-xmp" * (generator.provenance is not None)}"'
    if generator.credentials is not None:
        # Of one picture no two signatures have equal bytes, and each is as good as the others.
        etag = f'W/{etag[:-1]}-c2pa"'
    headers = {"etag": etag, "cache-control": IMMUTABLE if call.charge is None else PRIVATE}
    media_type = MEDIA_TYPES[encoding.format]
    if _matches(header(call.scope, b"if-none-match"), etag):
        return Reply(304, media_type, b"", headers)
    if size is None:
        body = await drawing.finish(draw, lambda: sample(draw, encoding, drawing.deadline))
    else:
        encode, pixels = partial(_resized, draw, size, encoding), size.height * size.width
        body = await drawing.finish(draw, lambda: encoded(draw, drawing.deadline, format, pixels, encode))
    return Reply(200, media_type, body, headers | address_headers(draw))


def _resized(draw: Draw, size: Size, encoding: Encoding, pixels: NDArray[np.uint8]) -> bytes:
    """pixels: uint8 [1, C, H, W]."""
    resized = images.resize(pixels[0], size.height, size.width)
    return picture(draw, encoding.format, resized, encoding.quality, size)


def _query(scope: Scope, scalars: Sequence[str], reads: bool) -> tuple[SampleRequest, str | None]:
    """What the query asks for, and in which size.

    scalars: those of the model, and its codes; reads: whether it reads a text. Raises InvalidField.
    """
    allowed = (*_FIELDS, *(["text"] if reads else []), *scalars)
    chosen: dict[str, float | list[float]] = {}
    asked, size = SampleRequest(), None
    text = scope.get("query_string", b"").decode("latin-1")
    given: set[str] = set()
    for name, value in parse_qsl(text, keep_blank_values=True) if text else ():
        if name not in allowed or name in given:
            raise InvalidField(name[:64], f"Allowed in the query are, once each, {', '.join(allowed)}.")
        given.add(name)
        if name == "quality":
            plain = value.isascii() and value.isdigit() and len(value) < 4
            if not plain or int(value) > 100:
                raise InvalidField("quality", f"quality is '{value[:64]}'; allowed are 0 to 100.")
            asked.quality = int(value)
        elif name == "size":
            size = value
        elif name == "text":
            asked.text = value
        elif name in scalars:
            chosen[name] = _number(name, value)
        else:
            asked.truncation = _truncation(value)
    if chosen:
        asked.scalars = chosen
    return asked, size


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidField(name, f"{name} is '{text[:64]}'; it must be a number.")
    return value


def _truncation(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise InvalidField("truncation", f"truncation is '{text[:64]}'; allowed is above 0 and at most 1.")
    return value


def _written(asked: SampleRequest, size: Size | None, contract: Contract) -> str:
    """The query of the one address that these images have: without what is the default anyway."""
    fields = []
    if asked.truncation != 1:
        fields.append(f"truncation={asked.truncation!r}")
    if size is not None:
        fields.append(f"size={size}")
    if asked.quality not in (None, QUALITIES.get(asked.format or "")):
        fields.append(f"quality={asked.quality}")
    fields += written(contract.declared, asked.scalars, 0, cast(str, asked.text or ""))
    return f"?{'&'.join(fields)}" if fields else ""


def _matches(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag.removeprefix("W/") in tags or "*" in tags


_IMAGES = {MEDIA_TYPES[format]: str for format in _PICTURES}
_CACHING = {"etag": "Of these bytes.", "cache-control": "Immutable."}
_SEEDS_HEADER = {"ganserve-seeds": "Seed of the image."}
_LOCATION = {"location": "The versioned address, relative to this one."}
_ANSWERS = {
    200: Answer(
        "The image; only under {model}@{version}.",
        _IMAGES,
        IMAGE_HEADERS | _SEEDS_HEADER | _CACHING,
    ),
    304: Answer("The client's copy is good.", headers=_CACHING),
    307: Answer(
        "To the versioned address; without a suffix, to that of the format that Accept likes best.",
        headers=_LOCATION,
    ),
}
_MODEL = Parameter("model", "Model name, or name@version.")
_LABEL = Parameter("label", "Class slug, name or index.")
_REST = (
    Parameter(
        "file", "A seed and .png, .webp, .jpg or .avif; without any, what the header Accept likes best."
    ),
    Parameter("truncation", TRUNCATION, "query", Fraction),
    Parameter("quality", QUALITY, "query", Percent),
    Parameter("text", TEXT, "query", Prompt),
    Parameter(
        "size", "WIDTHxHEIGHT, of the generator's own aspect ratio and with sides of at most 1024.", "query"
    ),
)
ROUTES = [
    Route(
        *("GET", f"/v1/models/{{model}}/images{label}/{{file}}", get_image, "sample"),
        "The image of a seed",
        _ANSWERS,
        (*SAMPLING_ERRORS, UnknownRoute),
        parameters=parameters,
    )
    for label, parameters in (("", (_MODEL, *_REST)), ("/{label}", (_MODEL, _LABEL, *_REST)))
]
