"""From a picture to the classes that it may be of, by what lies beside a model's file and gives logits."""

import asyncio
import time
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from service.batching.request_queue import Timing
from service.drawing.encoders import SMALL
from service.drawing.fields import FittingModelName, Timeout
from service.drawing.latent.inversions import IMAGES
from service.drawing.latent.seen import Seen, see
from service.drawing.sizes import own
from service.errors import InvalidField
from service.registry.model import Model
from service.registry.models import Models

TOP = 5
MOST_TOP = 1000


class ClassificationRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for."""

    images: Annotated[list[bytes], Meta(min_length=1, description=IMAGES)]
    model: FittingModelName = None
    top: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_TOP,
            description="How many classes of each picture are told, the most likely ones; all where the model has fewer.",
        ),
    ] = TOP
    timeout: Timeout = None


class Likely(Struct):
    """A class by its name, and how likely it is, 0 to 1; those of all classes add up to 1."""

    label: str
    probability: float


class Classification(Struct, omit_defaults=True):
    """classes: the most likely first. size: WIDTHxHEIGHT of the picture, where the model's is another."""

    classes: list[Likely]
    size: str | None = None


class ClassificationReply(Struct):
    model: str
    version: str
    images: list[Classification]


def names_classes(model: Model) -> bool:
    return model.beside.gives("logits")


def require(model: Model, models: Models) -> None:
    """Raises InvalidField, naming the models in memory that do, where this one names no class of a picture."""
    try:
        model.beside.require("logits")
    except InvalidField as error:
        others = [name for name, one in models.items() if one.state == "ready" and names_classes(one)]
        raise InvalidField("model", f"{error} Models that do: {', '.join(others) or 'none'}.") from None


async def classified(asked: ClassificationRequest, model: Model, deadline: float, timing: Timing) -> bytes:
    """The reply, as JSON. deadline: time.monotonic() seconds. timing: is filled in. Raises what `see` raises."""
    seen = await see(asked.images, model, "logits", deadline, timing=timing)
    # Thousands of classes of hundreds of pictures would hold up the event loop.
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(SMALL.threads, _reply, seen, model, asked.top, timing)


def _reply(seen: Seen, model: Model, top: int, timing: Timing) -> bytes:
    begun = time.monotonic()
    names, shares, native = seen.classes, seen.probabilities, own(model.contract.image)
    assert names is not None
    assert shares is not None
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    images = [
        Classification(
            [Likely(names[k], float(shares[i, k])) for k in map(int, order[i])],
            None if size == native else f"{size}",
        )
        for i, size in enumerate(seen.pictures.sizes)
    ]
    body = msgspec.json.encode(ClassificationReply(model.name, model.version, images))
    timing.encode_seconds = time.monotonic() - begun
    return body
