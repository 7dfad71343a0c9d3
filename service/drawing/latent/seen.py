"""What the encoder beside a model sees in pictures that clients send: their z, their classes."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.batching.request_queue import Timing
from service.drawing.uploads import Pictures, decoded
from service.errors import EngineFailed
from service.registry.beside import Gives
from service.registry.model import Model


class Seen(Struct):
    """Of N pictures. z: float32 [N, z_dim]; None by a classifier.

    classes: K names, and probabilities: float64 [N, K], each row's sum 1; None by an encoder that gives no logits.
    """

    pictures: Pictures
    z: NDArray[np.float32] | None
    classes: Sequence[str] | None
    probabilities: NDArray[np.float64] | None


async def see(
    files: Sequence[bytes],
    model: Model,
    output: Gives,
    deadline: float,
    field: str = "images",
    timing: Timing | None = None,
) -> Seen:
    """What lies beside the model, and gives this output, sees in them.

    deadline: time.monotonic() seconds. field: of the request that the pictures are in. timing: is filled in.
    Raises InvalidField: nothing gives it, or a picture is none; what `decoded` and Batcher.submit raise; EngineFailed.
    """
    model.beside.require(output)
    pictures = await decoded(files, model.contract.image, deadline, field)
    # It may have been taken away meanwhile.
    model.require_ready()
    encoder, line = model.beside.require(output)
    numbers = await model.batcher.submit(
        line, pictures.pixels, None, deadline, _as_they_are, timing, effort=0
    )
    if not np.isfinite(numbers).all():
        raise EngineFailed("The encoder gave NaN or infinity for a picture.")
    z_dim = encoder.document.z_dim or 0
    z, logits = numbers[:, :z_dim], numbers[:, z_dim:]
    return Seen(
        pictures,
        z if z_dim else None,
        encoder.classes,
        None if encoder.classes is None else probabilities(logits),
    )


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax. logits: float32 [N, K], finite. Returns float64 [N, K], each row's sum 1."""
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _as_they_are(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    return numbers
