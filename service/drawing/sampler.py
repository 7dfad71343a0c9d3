"""The spine: a request -> seeds and labels -> z -> images -> bytes. Every station, in order."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, cast

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service import metrics
from service.batching.request_queue import Request, Settle
from service.drawing import formats, mixing
from service.drawing.draw import Draw, effort_of, picture
from service.drawing.fields import (
    FirstSeed,
    Label,
    ModelName,
    ScalarsPerImage,
    TextPerImage,
    Timeout,
    Truncation,
)
from service.drawing.formats import Format, Quality
from service.drawing.mixing import Weights, label_index
from service.errors import InvalidField
from service.generator import images
from service.generator.contract import Contract
from service.generator.latents import MAX_SEED, rows_of
from service.registry.model import Model

_UNBOUNDED = ("png", "npy", "json")
Plain = Label | Sequence[Label] | None


class SampleRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for; every field has a default."""

    model: ModelName = None
    label: Annotated[
        Label | Weights | list[Label | Weights] | None,
        Meta(
            description="Class name in any case, its slug, or its index; an object of weights by class, where the model's card says `mixes_classes`; or a list of n of these. Absent: image i has class (seed + i) mod K."
        ),
    ] = None
    n: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="How many images; by default as many as `label`, `text` or `z` has entries, else 1."
        ),
    ] = None
    seed: FirstSeed = None
    z: Annotated[
        list[list[float]] | None, Meta(description="n rows of z_dim numbers, instead of a seed.")
    ] = None
    truncation: Truncation = 1.0
    scalars: ScalarsPerImage = None
    codes: Annotated[
        dict[str, float | list[float]] | None,
        Meta(
            description="The same as `scalars`, which has codes among them, by the name that InfoGAN has for those."
        ),
    ] = None
    text: TextPerImage = None
    format: Annotated[
        Format | None,
        Meta(
            description="`png`, `webp`, `jpeg` and `avif` give one image for n=1 and a grid for more; `npy` uint8 [n, H, W, C]. By default what the header `Accept` likes best, else `png`."
        ),
    ] = None
    quality: Quality = None
    include_z: Annotated[bool, Meta(description="With format json: return the z that the generator got.")] = (
        False
    )
    timeout: Timeout = None


class Encoding(Struct, frozen=True):
    """How the images of a draw leave."""

    format: Format = "png"
    quality: int | None = None
    include_z: bool = False


class JsonImage(Struct, omit_defaults=True):
    """label: weights where it is of several classes. text: where one was given."""

    label: str | dict[str, float] | None
    seed: int | None
    image: bytes
    z: list[float] | None = None
    text: str | None = None


class JsonReply(Struct):
    model: str
    version: str
    images: list[JsonImage]


@contextmanager
def asked_as(name: str, field: str) -> Iterator[None]:
    """Of what a protocol calls `name` and the service `field`: InvalidField says the former."""
    try:
        yield
    except InvalidField as error:
        if error.field != field:
            raise
        raise InvalidField(name, f"{error}".replace(field, name, 1)) from None


def resolve(request: SampleRequest, model: Model, max_images: int) -> Draw:
    """Seeds, labels and z of a request. Raises InvalidField, naming the field and what is allowed."""
    if request.codes and not request.scalars:
        with asked_as("codes", "scalars"):
            return _resolve(request, model, max_images)
    return _resolve(request, model, max_images)


def _resolve(request: SampleRequest, model: Model, max_images: int) -> Draw:
    contract = model.contract
    model.require_truncation(request.truncation)
    if request.codes is not None:
        if twice := set(request.codes) & set(request.scalars or ()):
            raise InvalidField(
                "codes", f"{min(twice)[:64]} is in scalars and in codes: one of them is enough."
            )
        request.scalars = (request.scalars or {}) | request.codes
    n = _count(request, max_images)
    asked, weights = request.label, None
    texts = [request.text] * n if isinstance(request.text, str) else request.text
    if isinstance(asked, (dict, list)) and mixing.is_mixed(asked):
        each = asked if isinstance(asked, list) else [cast(Weights, asked)] * n
        weights = mixing.rows_of(each, contract)
    if request.z is None:
        seeds = seeds_from(request.seed, n)
        first = seeds[0]
        z = contract.seeded(seeds, request.truncation, request.scalars, weights, texts)
    else:
        seeds, first = None, 0
        z = contract.truncated(explicit_z(request.z, contract), request.truncation)
        z = contract.with_scalars(z, request.scalars, weights, texts)
    if weights is not None:
        return Draw(model, seeds, mixing.heaviest(weights), z, weights=weights, texts=texts)
    return Draw(model, seeds, labels_of(asked, n, first, contract), z, texts=texts)  # pyright: ignore[reportArgumentType]


def seeds_from(seed: int | None, n: int) -> range:
    """seed: of the first; None: drawn, so that all are below 2^32. Raises InvalidField."""
    first = min(secrets.randbits(32), 2**32 - n) if seed is None else seed
    if first + n - 1 > MAX_SEED:
        raise InvalidField("seed", f"seed + n - 1 is {first + n - 1}; it can be at most {MAX_SEED}.")
    return range(first, first + n)


def encoding_of(request: SampleRequest, draw: Draw, accepted: str | None) -> Encoding:
    """accepted: what the client's Accept header likes best, if it says so. Raises InvalidField."""
    format = request.format or accepted or "png"
    image = draw.model.contract.image
    if format not in _UNBOUNDED or request.quality is not None:
        formats.check(format, request.quality, len(draw.z), image.height, image.width)
    return Encoding(cast(Format, format), request.quality, request.include_z)


async def sample(draw: Draw, encoding: Encoding, deadline: float) -> bytes:
    """The images as bytes. Raises what Batcher.submit raises."""
    model = draw.model
    finish, effort = partial(_encode_timed, draw, encoding), effort_of(draw, encoding.format)
    return await model.batcher.submit(model.line, draw.z, draw.label, deadline, finish, draw.timing, effort)


def begin(draw: Draw, encoding: Encoding, deadline: float, settle: Settle) -> Request:
    """As `sample`, without a task to wait in. Raises what Batcher.enqueue raises."""
    model = draw.model
    finish, effort = partial(_encode_timed, draw, encoding), effort_of(draw, encoding.format)
    return model.batcher.enqueue(
        model.line, draw.z, draw.label, deadline, finish, settle, draw.timing, effort
    )


def _count(request: SampleRequest, max_images: int) -> int:
    """n, where n, label, text and z agree on it."""
    listed = isinstance(request.label, list) or isinstance(request.text, list)
    if request.z is None and not listed and 1 <= (request.n or 1) <= max_images:
        return request.n or 1
    lengths = {"n": request.n}
    if isinstance(request.label, list):
        lengths["label"] = len(request.label)
    if isinstance(request.text, list):
        lengths["text"] = len(request.text)
    if request.z is not None:
        if request.seed is not None:
            raise InvalidField("z", "z and seed exclude each other: z is what a seed stands for.")
        lengths["z"] = len(request.z)
    given = {field: length for field, length in lengths.items() if length is not None} or {"n": 1}
    first, n = next(iter(given.items()))
    for field, length in given.items():
        if length != n:
            raise InvalidField(field, f"{field} has {length} entries and {first} says {n}: they must agree.")
        if not 1 <= length <= max_images:
            raise InvalidField(field, f"{field} asks for {length} images; allowed are 1 to {max_images}.")
    return n


def explicit_z(rows: list[list[float]], contract: Contract) -> NDArray[np.float32]:
    """float32 [len(rows), z_dim], at least one row. Raises InvalidField."""
    contract.require_seeds()
    for i, row in enumerate(rows):
        if len(row) != contract.z_dim:
            raise InvalidField("z", f"z[{i}] has {len(row)} numbers; this model's z_dim is {contract.z_dim}.")
    with np.errstate(over="ignore"):
        z = np.array(rows, np.float32)
    if not np.isfinite(z).all():
        raise InvalidField("z", "z holds a number that is not finite in float32.")
    return z


def labels_of(label: Plain, n: int, first_seed: int, contract: Contract) -> list[int] | None:
    """A class for each of n images; None for an unconditional model. Raises InvalidField."""
    if label is None:
        if contract.classes is None:
            return None
        return [(first_seed + i) % contract.class_count for i in range(n)]
    if isinstance(label, int | str):
        return [label_index(label, contract)] * n
    return [label_index(entry, contract) for entry in label]


def _encode_timed(draw: Draw, encoding: Encoding, pixels: NDArray[np.uint8]) -> bytes:
    begun = time.monotonic()
    encoded = _encode(draw, encoding, pixels)
    draw.timing.encode_seconds = time.monotonic() - begun
    metrics.child(metrics.encode_seconds, encoding.format).observe(draw.timing.encode_seconds)
    return encoded


def _encode(draw: Draw, encoding: Encoding, pixels: NDArray[np.uint8]) -> bytes:
    if encoding.format == "npy":
        return images.npy(pixels)
    if encoding.format == "json":
        return _encode_json(draw, pixels, encoding.include_z)
    image = pixels[0] if len(pixels) == 1 else images.grid(pixels)
    return picture(draw, encoding.format, image, encoding.quality)


def _encode_json(draw: Draw, pixels: NDArray[np.uint8], include_z: bool) -> bytes:
    contract = draw.model.contract
    z = rows_of([draw.z]) if include_z else None
    reply: list[Any] = [
        JsonImage(
            label=draw.class_of(i),
            seed=None if draw.seeds is None else draw.seeds[i],
            image=picture(draw.alone(i), "png", pixels[i]),
            z=None if z is None else z[i, : contract.z_dim].tolist(),
            text=draw.texts[i] if draw.texts else None,
        )
        for i in range(len(pixels))
    ]
    return msgspec.json.encode(JsonReply(draw.model.name, draw.model.version, reply))
