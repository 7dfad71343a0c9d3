"""A way through z: two or more points, and the images between one and the next."""

import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing import mixing
from service.drawing.draw import Draw
from service.drawing.fields import Label, ModelName, Scalars, Seed, Text, Timeout, Truncation, as_numbers
from service.drawing.formats import Quality, SeriesFormat
from service.drawing.latent.series import Series, request_of
from service.drawing.mixing import Weights
from service.drawing.sampler import explicit_z
from service.errors import InvalidField
from service.generator.contract import Contract
from service.generator.latents import linear, spherical
from service.registry.model import Model

_FEWEST_POINTS, _MOST_POINTS = 2, 32
_Points = Meta(min_length=_FEWEST_POINTS, max_length=_MOST_POINTS)

_BETWEEN: dict[str, Callable[[NDArray, NDArray, NDArray], NDArray[np.float32]]] = {
    "linear": linear,
    "spherical": spherical,
}


class InterpolationRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for: points as seeds, as z, or as classes of one seed."""

    model: ModelName = None
    seeds: Annotated[
        Annotated[list[Seed], _Points] | None, Meta(description="The points, as seeds: 2 to 32 of them.")
    ] = None
    z: Annotated[
        Annotated[list[list[float]], _Points] | None,
        Meta(description="The points, as rows of z_dim numbers, instead of seeds."),
    ] = None
    label: Annotated[
        Label | Weights | list[Label | Weights] | None,
        Meta(
            description="Class of all points, or a list of one a point: name in any case, slug or index, or weights of several. Where the model's card says `mixes_classes`, one class goes over into the next as z does; any other generator takes whole classes only, and where two points differ the class changes half way between them. Absent: a seed's own class, seed mod K; for z, class 0. A list without seeds and z: the same z through these classes."
        ),
    ] = None
    seed: Annotated[
        Seed | None,
        Meta(
            description="With a list of labels and neither seeds nor z: the one seed of all points; by default drawn below 2^32, and returned."
        ),
    ] = None
    steps: Annotated[
        int,
        Meta(
            ge=2,
            le=64,
            description="Images from one point to the next, both ends counted; a point that two stretches share is one image. The whole way has at most {settings.max_images_per_request} images.",
        ),
    ] = 8
    path: Annotated[
        Literal["linear", "spherical"],
        Meta(
            description="`spherical` (White 2016) keeps the length of z, as the generator knows it; `linear` is the straight line of Goodfellow et al. 2014, figure 3, whose middle is shorter. Between parallel or opposite points both are the straight line."
        ),
    ] = "spherical"
    loop: Annotated[
        bool, Meta(description="Go on from the last point to the first, whose image is not repeated.")
    ] = False
    truncation: Truncation = 1.0
    scalars: Scalars = None
    text: Text = None
    format: Annotated[
        SeriesFormat | None,
        Meta(
            description="`png`, `webp`, `jpeg` and `avif`: the images in one row (WebP at most 16,383 pixels wide). `gif`: one after another, for ever; 256 colours a frame. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image. By default what the header `Accept` likes best, else `png`."
        ),
    ] = None
    quality: Quality = None
    frame_milliseconds: Annotated[
        int,
        Meta(
            ge=20,
            le=1000,
            description="How long format gif shows each image, to the nearest 10; the same image twice is one, for twice as long.",
        ),
    ] = 80
    timeout: Timeout = None


def interpolate(request: InterpolationRequest, model: Model, max_images: int) -> Series:
    """Every image of the way; those at the points are `steps - 1` apart, from the first on.

    A point that two stretches share is there once, and the way of a loop ends before its first point.
    Raises InvalidField, naming the field and what is allowed.
    """
    contract = model.contract
    contract.require_seeds()
    model.require_truncation(request.truncation)
    points = _count(request)
    between = request.steps - 1
    stretches = points if request.loop else points - 1
    n = stretches * between + (not request.loop)
    if n > max_images:
        raise InvalidField(
            "steps",
            f"{stretches} stretches of {request.steps} steps make {n} images; allowed are {max_images}.",
        )
    classes = _classes(request, points, contract)
    seeds, z = _points(request, points, contract)
    t = np.arange(between) / between
    rows = [_BETWEEN[request.path](z[i], z[(i + 1) % points], t) for i in range(stretches)]
    stations = [(i, (i + 1) % points, one) for i in range(stretches) for one in t.tolist()]
    if not request.loop:
        rows.append(z[-1:])
        stations.append((points - 1, points - 1, 0.0))
    way = contract.truncated(np.concatenate(rows), request.truncation)
    if not np.isfinite(way).all():  # nearly opposite points of very different lengths
        raise InvalidField("z", "Between these points z is not finite in float32; path linear would be.")
    label = weights = None
    if classes is not None:
        first, second, share = (np.array(column) for column in zip(*stations, strict=True))
        if not contract.mixes_classes:
            share = share >= 0.5
        share = share[:, None]
        weights = ((1 - share) * classes[first] + share * classes[second]).astype(np.float32)
        label = mixing.heaviest(weights)
    mixed = weights if contract.mixes_classes else None
    texts = None if request.text is None else [request.text] * n
    way = contract.with_scalars(way, as_numbers(request.scalars), mixed, texts)
    draw = Draw(model, None, label, way, weights=mixed, texts=texts)
    if model.provenance is not None:
        drawn = {} if request.seeds is not None or request.z is not None else {"seed": seeds[0]}
        draw.asked = request_of("/v1/interpolations", request, **drawn)
    return Series(draw, [seeds[a] if t == 0 or seeds[a] == seeds[b] else None for a, b, t in stations])


def _count(request: InterpolationRequest) -> int:
    """How many points there are, where seeds, z and label agree on it."""
    if request.seeds is not None and request.z is not None:
        raise InvalidField("z", "z and seeds exclude each other: z is what a seed stands for.")
    listed = len(request.label) if isinstance(request.label, list) else None
    given = request.seeds if request.seeds is not None else request.z
    if given is None:
        if listed is None:
            raise InvalidField("seeds", "There is no way without points: give seeds, z, or a list as label.")
        if not _FEWEST_POINTS <= listed <= _MOST_POINTS:
            raise InvalidField(
                "label", f"label has {listed} entries; allowed are {_FEWEST_POINTS} to {_MOST_POINTS}."
            )
        return listed
    if request.seed is not None:
        raise InvalidField("seed", "seed is for a list of labels; the points are given by seeds or z here.")
    if listed is not None and listed != len(given):
        raise InvalidField("label", f"label has {listed} entries for {len(given)} points: they must agree.")
    return len(given)


def _points(
    request: InterpolationRequest, points: int, contract: Contract
) -> tuple[Sequence[int | None], NDArray[np.float32]]:
    """Seed and z of each point; float32 [points, z_dim]."""
    if request.z is not None:
        return [None] * points, explicit_z(request.z, contract)
    if request.seeds is not None:
        return request.seeds, contract.drawn(request.seeds)
    seed = secrets.randbits(32) if request.seed is None else request.seed
    return [seed] * points, contract.drawn([seed]).repeat(points, axis=0)


def _classes(request: InterpolationRequest, points: int, contract: Contract) -> NDArray[np.float32] | None:
    """Of each point, as weights float32 [points, K]: without a label a seed's own class, and class 0 for z."""
    if isinstance(request.label, list):
        return mixing.rows_of(request.label, contract)
    if request.label is not None:
        return mixing.rows_of([request.label] * points, contract)
    if contract.classes is None:
        return None
    return mixing.rows_of([seed % contract.class_count for seed in request.seeds or [0] * points], contract)
