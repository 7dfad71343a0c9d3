"""z nearer to a picture than its encoder brings it: by forward passes alone, as no engine has a gradient.

Levenberg-Marquardt (Marquardt 1963): images of z that is moved a little in each direction are one batch, and their differences the
Jacobian; images of some damped Gauss-Newton steps are another, and the nearest to the picture is taken.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.drawing.latent.inversions import Found
from service.errors import InvalidField, QueueFull
from service.registry.model import Model

MOST_STEPS = 16
MOST_TOGETHER = 64
"""Steps of all pictures of a request."""
_DIRECTIONS = 64
_MOST_NUMBERS = 2**24
"""Of a Jacobian, in float32."""
_MOVED = np.float32(0.25)
"""Of a z of spread 1: levels of 255 show it, and an image is nearly straight that far."""
_DAMPINGS = 10 ** np.linspace(-3, 1, 8)
"""In units of the Jacobian's mean square."""
_FARTHEST = 4.5
"""That a number of z is moved to: no seed draws one that is farther out."""


@dataclass
class _Place:
    """Where the way to one picture has come. z: float32 [z_dim]; image, picture: float32 [C * H * W], in levels."""

    z: NDArray[np.float32]
    label: int | None
    picture: NDArray[np.float32]
    image: NDArray[np.float32]
    steps: int = 0
    is_there: bool = False
    """No step leads nearer."""


def require(steps: int, pictures: int) -> None:
    """Raises InvalidField."""
    if steps * pictures > MOST_TOGETHER:
        raise InvalidField(
            "steps",
            f"steps is {steps}, of {pictures} pictures: allowed are {MOST_TOGETHER} steps in one request, {MOST_TOGETHER // pictures} of each.",
        )


def images_of(steps: int, model: Model, most: int) -> int:
    """That so many steps of a picture draw, the first image included. most: images of a request."""
    return 1 + steps * (_count(model, most) + len(_DAMPINGS)) if steps else 0


async def refined(found: Found, model: Model, steps: int, most: int, deadline: float) -> Found:
    """What is found after so many steps of each picture, or fewer where time or room in the queue is short.

    most: images of a request. deadline: time.monotonic() seconds. Raises what Batcher.submit raises of its first images; NotReady;
    DeadlinePassed.
    """
    drawn = await _drawn(model, found.z, found.label, deadline)
    pictures = found.pictures.pixels.reshape(len(drawn), -1).astype(np.float32)
    labels = found.label or [None] * len(drawn)
    places = [_Place(*one) for one in zip(found.z, labels, pictures, drawn, strict=True)]
    longest = 0.0
    for step, place in product(range(steps), places):
        begun = time.monotonic()
        # What is found has to be drawn and encoded, too.
        if begun + 2 * longest > deadline:
            break
        if place.is_there:
            continue
        try:
            await _step(place, model, _directions(step, model, most), deadline)
        except QueueFull:  # others wait, and what was found by now is an answer
            break
        longest = max(longest, time.monotonic() - begun)
    return msgspec.structs.replace(
        found,
        z=np.stack([place.z for place in places]),
        steps=[place.steps for place in places],
        encoder_errors=np.abs(drawn - pictures).mean(axis=1).tolist(),
    )


async def _step(place: _Place, model: Model, directions: NDArray[np.float32], deadline: float) -> None:
    labels = None if place.label is None else [place.label] * max(len(directions), len(_DAMPINGS))

    async def draw(moved: NDArray[np.float32]) -> NDArray[np.float32]:
        z = np.clip(place.z + moved, -_FARTHEST, _FARTHEST)
        return await _drawn(model, z, labels and labels[: len(z)], deadline)

    images = await draw(_MOVED * directions)
    tried = await asyncio.to_thread(_steps, place, images, directions)
    images = await draw(tried)
    apart = np.square(images - place.picture).mean(axis=1)
    best = int(apart.argmin())
    place.steps += 1
    if apart[best] < np.square(place.image - place.picture).mean():
        place.z = np.clip(place.z + tried[best], -_FARTHEST, _FARTHEST)
        place.image = images[best]
    else:
        # In other directions there may still be one.
        place.is_there = len(directions) == len(place.z)


def _steps(
    place: _Place, images: NDArray[np.float32], directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What z may be moved by, float32 [dampings, z_dim]. images: float32 [D, C * H * W], of z moved in each of D directions."""
    jacobian = (images - place.image) / _MOVED
    square = (jacobian @ jacobian.T).astype(np.float64)
    pulls = (jacobian @ (place.picture - place.image)).astype(np.float64)
    values, vectors = np.linalg.eigh(square)
    damped = values + (_DAMPINGS * max(float(values.mean()), 1e-9))[:, None]
    moves = (vectors.T @ pulls / damped) @ vectors.T
    return moves.astype(np.float32) @ directions


def _directions(step: int, model: Model, most: int) -> NDArray[np.float32]:
    """Unit vectors at right angles, float32 [D, z_dim]: the axes where they are few, else others in each step, the same each time."""
    z_dim, count = model.contract.z_dim, _count(model, most)
    if count == z_dim:
        return np.eye(z_dim, dtype=np.float32)
    drawn = np.random.default_rng(step).normal(size=(z_dim, count))
    return np.linalg.qr(drawn)[0].T.astype(np.float32)


def _count(model: Model, most: int) -> int:
    image = model.contract.image
    pixels = image.channels * image.height * image.width
    return max(
        1, min(model.contract.z_dim, most, _DIRECTIONS, _MOST_NUMBERS // max(pixels, model.contract.z_dim))
    )


async def _drawn(
    model: Model, z: NDArray[np.float32], label: Sequence[int] | None, deadline: float
) -> NDArray[np.float32]:
    """float32 [N, C * H * W], in levels. Raises NotReady, and what Batcher.submit raises."""
    model.require_ready()
    rows = model.contract.with_scalars(z, None)
    return await model.batcher.submit(model.line, rows, label, deadline, _levels, effort=0)


def _levels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32)
