"""What is drawn, with nothing left to decide, and its pictures as files, which say what made them where they are told to."""

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.batching.answers import MOST_HERE_BYTES
from service.batching.request_queue import Timing
from service.drawing import formats, mixing
from service.drawing.sizes import Size
from service.generator.file.named import chosen_by_name, scalar_rows
from service.generator.latents import Seeded
from service.generator.origin import provenance
from service.generator.origin.provenance import Told
from service.registry.model import Model

SAMPLES, TRANSLATIONS = "/v1/samples", "/v1/translations"
_EFFORT_OF_SIGNING = MOST_HERE_BYTES + 1


class Draw(Struct):
    """What is drawn, with nothing left to decide.

    seeds: one an image, or None where z was given. label: n classes, or None for an unconditional model.
    z: float32 [n, row_dim], as the generator takes it, or the seeds of it. weights: float32 [n, K], where images are of
    several classes; label has the heaviest then. texts: one an image, where they were given. asked: route and body of the request that draws all of it again, where
    that is none to /v1/samples.
    """

    model: Model
    seeds: range | None
    label: list[int] | None
    z: NDArray[np.float32] | Seeded
    timing: Timing = msgspec.field(default_factory=Timing)
    weights: NDArray[np.float32] | None = None
    texts: list[str] | None = None
    asked: tuple[str, dict[str, Any]] | None = None

    def class_of(self, i: int) -> str | dict[str, float] | None:
        """Of image i, as a request has it."""
        classes = self.model.contract.classes
        if classes is None or self.label is None:
            return None
        return classes[self.label[i]] if self.weights is None else mixing.named(self.weights[i], classes)

    def alone(self, i: int) -> "Draw":
        """Image i, drawn alone."""
        part = slice(i, i + 1)
        return Draw(
            self.model,
            None if self.seeds is None else self.seeds[part],
            None if self.label is None else self.label[part],
            self.z[part],
            weights=None if self.weights is None else self.weights[part],
            texts=None if self.texts is None else self.texts[part],
        )


def picture(
    draw: Draw, format: str, image: NDArray[np.uint8], quality: int | None = None, size: Size | None = None
) -> bytes:
    """The images of a draw as one file, which says what made it where the model was told to, and is signed.

    image: uint8 [C, H, W], all of them side by side. size: of each, where that is not the generator's own.
    """
    return signed(draw, format, unsigned(draw, format, image, quality, size))


def unsigned(
    draw: Draw, format: str, image: NDArray[np.uint8], quality: int | None = None, size: Size | None = None
) -> bytes:
    """As `picture`, but for the signature."""
    return formats.picture(image, format, quality, xmp_of(draw, format, quality, size))


def signed(draw: Draw, format: str, file: bytes) -> bytes:
    """The file with content credentials, where they are configured: as it is, where they are not."""
    model = draw.model
    if model.credentials is None:
        return file
    media_type = formats.SERIES_MEDIA_TYPES[format]
    return model.credentials.signed(file, media_type, model.name, model.version)


def effort_of(draw: Draw, format: str) -> int:
    """Of making the answer, as Request has it. What is signed keeps no lane, nor the event loop, however small it is."""
    usual = formats.effort(format)
    return usual if not usual or draw.model.credentials is None else _EFFORT_OF_SIGNING


def xmp_of(draw: Draw, format: str, quality: int | None = None, size: Size | None = None) -> bytes:
    """Empty where the model was not told to say what makes its pictures."""
    maker = draw.model.provenance
    if maker is None:
        return b""
    usual = formats.QUALITIES.get(format)
    quality = usual if usual is None or quality is None else quality
    if draw.asked is not None:
        route, request = draw.asked
        told = Told(route=route, request=request)
    elif _is_of_seeds(draw):
        told = Told(draw.seeds, draw.label, draw.z.truncation if isinstance(draw.z, Seeded) else 1.0)
    else:
        route = SAMPLES if draw.model.contract.source is None else TRANSLATIONS
        told = Told(route=route, request=_request(draw))
    return provenance.packet(maker, told._replace(size="" if size is None else f"{size}", quality=quality))


def _is_of_seeds(draw: Draw) -> bool:
    """Whether seeds, labels and truncation alone say what was drawn."""
    if (
        draw.seeds is None
        or draw.weights is not None
        or any(draw.texts or ())
        or not isinstance(draw.z, Seeded)
    ):
        return False
    if draw.z.codes is not None:
        return False
    if draw.z.scalars is None:
        return True
    usual = scalar_rows(draw.model.contract.declared, None, 1)
    return usual is None or bool((draw.z.scalars[:, : usual.shape[1]] == usual).all())


def _request(draw: Draw) -> dict[str, Any]:
    """What POST /v1/samples draws it again by; or POST /v1/translations, of the pictures that were given, which are not told."""
    contract, n = draw.model.contract, len(draw.z)
    request: dict[str, Any] = {} if n == 1 or contract.source is not None else {"n": n}
    if isinstance(draw.z, Seeded):
        assert draw.seeds is not None
        request["seed"], behind = draw.seeds[0], draw.z.scalars
        if draw.z.truncation != 1:
            request["truncation"] = draw.z.truncation
    elif contract.source is not None:
        request |= {} if draw.seeds is None else {"seed": draw.seeds[0]}
        assert isinstance(draw.z, np.ndarray)
        behind = draw.z[:, contract.z_dim :]
    else:
        request["z"] = [_shortest(row) for row in draw.z[:, : contract.z_dim]]
        behind = draw.z[:, contract.z_dim :]
    if draw.label is not None:
        labels = draw.label if draw.weights is None else [draw.class_of(i) for i in range(n)]
        request["label"] = labels[0] if all(label == labels[0] for label in labels) else labels
    if draw.texts is not None and any(draw.texts):
        request["text"] = draw.texts if len(set(draw.texts)) > 1 else draw.texts[0]
    scalars = {}
    codes = draw.z.codes if isinstance(draw.z, Seeded) else None
    for one, place in chosen_by_name(contract.declared).values():
        chosen = codes if one.role == "code" else behind
        column = None if chosen is None else chosen[:, place - (0 if one.role == "code" else contract.z_dim)]
        # A code that was not asked for is the seed's, and that of an explicit z is in it.
        if column is None or np.isnan(column).any():
            continue
        # Of a bound, what float32 makes of it may lie beyond.
        values = np.clip(_shortest(column), one.low, one.high).tolist()
        if values != [one.default] * n:
            scalars[one.name] = values if len(set(values)) > 1 else values[0]
    return request | ({"scalars": scalars} if scalars else {})


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """The numbers of fewest digits that are these in float32: what a client sent, most often."""
    return [float(f"{value!s}") for value in values]
