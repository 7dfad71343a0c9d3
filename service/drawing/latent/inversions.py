"""From a picture to the z that draws it: the encoder's answer, what the generator draws of it, and how far off that is."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing.draw import Draw, picture
from service.drawing.encoders import encoded
from service.drawing.fields import FittingModelName, Label, Timeout
from service.drawing.latent.seen import see
from service.drawing.mixing import label_index
from service.drawing.sizes import own
from service.drawing.uploads import Pictures
from service.errors import InvalidField
from service.generator.contract import Contract
from service.registry.model import Model

IMAGES = "PNG, JPEG or WebP files in base64, of at most 16,777,216 pixels each and four times as many together; what they are, their content says. Another size is cropped around the centre to the model's aspect ratio and scaled, EXIF's orientation is applied, and all metadata is dropped; what is transparent lies on white, where the model has no alpha."


class InversionRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for."""

    images: Annotated[list[bytes], Meta(min_length=1, description=IMAGES)]
    model: FittingModelName = None
    label: Annotated[
        Label | list[Label] | None,
        Meta(
            description="Class of the pictures, or a list with one for each; by default what the encoder takes them for."
        ),
    ] = None
    steps: Annotated[
        int,
        Meta(
            ge=0,
            le=16,
            description="Of refinement, after the encoder, towards the picture: each draws the images of up to 72 z near by, which count against the key's quota, and steps times pictures is at most 64. Fewer are made where the time is short, or none leads nearer.",
        ),
    ] = 0
    timeout: Timeout = None


class Inversion(Struct, omit_defaults=True):
    """z and label, posted to /v1/samples, give `reconstruction` again.

    probability: what the encoder gives for `label`, 0 to 1; None of a model without classes. error: the mean difference between the
    picture, in the model's size, and its reconstruction, in grey levels. size: WIDTHxHEIGHT of the picture, where the model's is another.
    steps, encoder_error: where there was refinement, how many steps were made, and the error before them.
    """

    label: str | None
    probability: float | None
    error: float
    z: list[float]
    reconstruction: bytes
    size: str | None = None
    steps: int | None = None
    encoder_error: float | None = None


class InversionReply(Struct):
    model: str
    version: str
    images: list[Inversion]


class Found(Struct):
    """What an encoder found in pictures, N of them.

    z: float32 [N, z_dim]. label: N classes, and probability of each; None of a model without classes. steps, encoder_errors: as Inversion
    has them, N; None without refinement.
    """

    pictures: Pictures
    z: NDArray[np.float32]
    label: list[int] | None
    probability: list[float] | None
    steps: list[int] | None = None
    encoder_errors: list[float] | None = None


def has_encoder(model: Model) -> bool:
    return model.beside.gives("z")


def labels_of(label: Label | list[Label] | None, n: int, contract: Contract) -> list[int] | None:
    """One for each of n pictures; None where none is given. Raises InvalidField."""
    if label is None:
        return None
    if not isinstance(label, list):
        return [label_index(label, contract)] * n
    if len(label) != n:
        raise InvalidField("label", f"label has {len(label)} entries, and there are {n} pictures.")
    return [label_index(one, contract) for one in label]


async def find(
    files: Sequence[bytes], label: list[int] | None, model: Model, deadline: float, field: str = "images"
) -> Found:
    """What the model's encoder finds in pictures.

    label: of each, or None for what the encoder takes it for. deadline: time.monotonic() seconds. field: of the request that the pictures are in.
    Raises what `see` raises.
    """
    seen = await see(files, model, "z", deadline, field)
    z, shares = seen.z, seen.probabilities
    assert z is not None
    if shares is None:
        return Found(seen.pictures, z, None, None)
    label = shares.argmax(axis=1).tolist() if label is None else label
    return Found(seen.pictures, z, label, shares[np.arange(len(z)), label].tolist())


def reconstruction(found: Found, model: Model) -> Draw:
    """What draws the pictures again. Raises NotReady where the model was taken away meanwhile."""
    model.require_ready()
    return Draw(model, None, found.label, model.contract.with_scalars(found.z, None))


async def told(found: Found, draw: Draw, deadline: float) -> bytes:
    """The reply, as JSON. Raises what `encoded` raises."""
    return await encoded(
        draw, deadline, "json", found.pictures.pixels[:, 0].size, partial(_reply, found, draw)
    )


def _reply(found: Found, draw: Draw, pixels: NDArray[np.uint8]) -> bytes:
    """pixels: uint8 [N, C, H, W], the reconstructions."""
    model = draw.model
    levels = np.abs(pixels.astype(np.int16) - found.pictures.pixels).mean(axis=(1, 2, 3))
    classes, native = model.contract.classes, own(model.contract.image)
    images = [
        Inversion(
            None if classes is None or found.label is None else classes[found.label[i]],
            None if found.probability is None else found.probability[i],
            round(float(levels[i]), 3),
            found.z[i].tolist(),
            picture(draw.alone(i), "png", pixels[i]),
            None if size == native else f"{size}",
            None if found.steps is None else found.steps[i],
            None if found.encoder_errors is None else round(found.encoder_errors[i], 3),
        )
        for i, size in enumerate(found.pictures.sizes)
    ]
    return msgspec.json.encode(InversionReply(model.name, model.version, images))
