"""Pictures of pictures: what a client sends -> what is drawn of it, where a generator is given a picture (pix2pix)."""

from collections.abc import Sequence
from typing import Annotated, cast

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing import mixing
from service.drawing.draw import Draw
from service.drawing.fields import FirstSeed, FittingModelName, Label, ScalarsPerImage, TextPerImage, Timeout
from service.drawing.formats import Format, Quality
from service.drawing.mixing import Weights
from service.drawing.sampler import Plain, labels_of, seeds_from
from service.errors import InvalidField
from service.generator.contract import Contract, ImageShape
from service.registry.model import Model


class TranslationRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for: pictures, and what a generator takes beside them."""

    images: Annotated[
        list[bytes],
        Meta(
            description="Files in base64, PNG, JPEG or WebP, one for each image of the reply: 1 to {settings.max_images_per_request}. Each is turned upright, cropped around its centre to the aspect ratio of the card's `source` and scaled to it; transparency lies on white, where the model has none."
        ),
    ]
    model: FittingModelName = None
    label: Annotated[
        Label | Weights | list[Label | Weights] | None,
        Meta(
            description="Of a model with classes: name in any case, slug or index; an object of weights by class, where its card says `mixes_classes`; or a list of one per picture. Absent: picture i has class (seed + i) mod K, or i mod K where the model takes no seed."
        ),
    ] = None
    seed: Annotated[
        FirstSeed,
        Meta(
            description="Of the first picture, where the model draws something beside it; by default drawn below 2^32, and returned."
        ),
    ] = None
    scalars: ScalarsPerImage = None
    text: TextPerImage = None
    format: Annotated[
        Format | None,
        Meta(
            description="As in /v1/samples: `png`, `webp`, `jpeg` and `avif` give one image, and a grid of more; `npy` uint8 [n, H, W, C]. By default what the header `Accept` likes best, else `png`."
        ),
    ] = None
    quality: Quality = None
    timeout: Timeout = None


def takes_pictures(model: Model) -> bool:
    return model.contract.source is not None


def source_of(model: Model) -> ImageShape:
    """Of the pictures that it is given. Raises InvalidField where a model makes pictures of seeds."""
    source = model.contract.source
    if source is None:
        raise InvalidField(
            "model",
            f"Model {model.name} makes pictures of seeds and is given none: POST /v1/samples asks it.",
        )
    return source


def laid_in(
    model: Model,
    pixels: NDArray[np.uint8],
    label: Label | Weights | Sequence[Label | Weights] | None,
    seed: int | None,
    scalars: dict[str, float | list[float]] | None,
    text: str | list[str] | None = None,
) -> Draw:
    """These pictures, and beside each what its seed draws. pixels: uint8 [n, C, H, W], of the model's source.

    label, text: of all, or one each. Raises InvalidField.
    """
    contract, n = model.contract, len(pixels)
    if isinstance(label, list) and len(label) != n:
        raise InvalidField("label", f"label has {len(label)} entries for {n} images: they must agree.")
    texts = [text] * n if isinstance(text, str) else text
    if texts is not None and len(texts) != n:
        raise InvalidField("text", f"text has {len(texts)} entries for {n} images: they must agree.")
    weights = None
    if mixing.is_mixed(label):
        each = label if isinstance(label, list) else [cast(Weights, label)] * n
        weights = mixing.rows_of(each, contract)
    seeds = None
    if contract.uses_seed:
        seeds = seeds_from(seed, n)
    elif seed is not None:
        raise InvalidField("seed", f"Model {model.name} draws nothing beside the picture: it takes no seed.")
    if weights is None:
        labels = labels_of(cast(Plain, label), n, seeds[0] if seeds else 0, contract)
    else:
        labels = mixing.heaviest(weights)
    z = rows(contract, pixels, seeds, scalars, weights, texts)
    return Draw(model, seeds, labels, z, weights=weights, texts=texts)


def rows(
    contract: Contract,
    pixels: NDArray[np.uint8],
    seeds: Sequence[int] | None,
    scalars: dict[str, float | list[float]] | None,
    weights: NDArray[np.float32] | None,
    texts: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """float32 [n, row_dim]. seeds: n, or None where they decide nothing. Raises InvalidField, of scalars."""
    if seeds is None:
        z = np.zeros((len(pixels), contract.z_dim), np.float32)
    else:
        assert contract.space is not None
        z = contract.space.draw_beside(seeds)
    return contract.with_scalars(contract.with_sources(z, pixels), scalars, weights, texts)
