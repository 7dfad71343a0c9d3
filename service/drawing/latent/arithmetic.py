"""Sums in z: (smiling woman) - (neutral woman) + (neutral man)."""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from service.drawing import mixing
from service.drawing.draw import Draw
from service.drawing.fields import Fraction, Label, ModelName, Scalars, Seed, Text, Timeout, as_numbers
from service.drawing.formats import Format, Quality
from service.drawing.latent.series import Series, request_of
from service.drawing.mixing import Weights
from service.errors import InvalidField
from service.generator.contract import Contract
from service.generator.latents import at_typical_length, mean, weighted_sum
from service.registry.model import Model

# A sum this much shorter than what was added is what rounding left of nothing.
_NOTHING = 1e-6


class Term(Struct, forbid_unknown_fields=True):
    """`weight` times the average z of `seeds`; the label is that of its own picture."""

    weight: Annotated[float, Meta(description="What the term's average is multiplied by: any finite number.")]
    seeds: Annotated[
        list[Seed],
        Meta(
            min_length=1,
            max_length=64,
            description="Seeds whose z are averaged: 1 to 64; three make a steadier direction than one.",
        ),
    ]
    label: Annotated[
        Label | Weights | None,
        Meta(
            description="Class of the term's own picture, or weights of several; by default the sum's. It has no part in the sum, which is of z alone."
        ),
    ] = None


class ArithmeticRequest(Struct, forbid_unknown_fields=True):
    """What a client may ask for; every field but `terms` has a default."""

    terms: Annotated[
        list[Term],
        Meta(
            min_length=1,
            max_length=16,
            description="What is added: 1 to 16 terms, not all with weight 0.",
        ),
    ]
    model: ModelName = None
    label: Annotated[
        Label | Weights | None,
        Meta(
            description="Class of the sum: name in any case, slug or index; or weights of several, where the model's card says `mixes_classes`. By default the first term's, else 0."
        ),
    ] = None
    text: Text = None
    normalize: Annotated[
        bool,
        Meta(
            description="Scale the sum to length sqrt(z_dim), which the generator knows; false: leave it as it is. Terms that cancel out have no direction to scale: 422."
        ),
    ] = True
    truncation: Annotated[
        Fraction,
        Meta(
            description="z is multiplied by it, after the sum was scaled: less variety, more typical images."
        ),
    ] = 1.0
    scalars: Scalars = None
    format: Annotated[
        Format | None,
        Meta(
            description="`png`, `webp`, `jpeg` and `avif`: the images in one row. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image. By default what the header `Accept` likes best, else `png`."
        ),
    ] = None
    quality: Quality = None
    include_terms: Annotated[
        bool,
        Meta(
            description="The picture of each term's average first, the sum's last, as in figure 7 of Radford et al. 2016. Averages of several seeds are scaled as the sum is; a term of one seed is that seed's own image."
        ),
    ] = False
    timeout: Timeout = None


def add_up(request: ArithmeticRequest, model: Model, max_images: int) -> Series:
    """The image of the sum, last; before it, if they are asked for, those of its terms.

    Raises InvalidField, naming the field and what is allowed.
    """
    contract, terms = model.contract, request.terms
    contract.require_seeds()
    model.require_truncation(request.truncation)
    n = len(terms) + 1 if request.include_terms else 1
    if n > max_images:
        raise InvalidField("include_terms", f"Terms and sum are {n} images; allowed are {max_images}.")
    classes = _classes(request, contract)
    means = np.stack([mean(contract.drawn(term.seeds)) for term in terms])
    length = None if contract.space is None else contract.space.typical_length
    rows = [_sum(means, [term.weight for term in terms], request.normalize, length)]
    seeds: list[int | None] = [None]
    if request.include_terms:
        # A term of one seed is that seed's own image.
        alone = [term.seeds[0] if len(set(term.seeds)) == 1 else None for term in terms]
        as_asked = [
            at_typical_length(row, length) if request.normalize and seed is None else row
            for row, seed in zip(means, alone, strict=True)
        ]
        rows, seeds = as_asked + rows, alone + seeds
    z = contract.truncated(np.stack(rows), request.truncation)
    label = weights = None
    if classes is not None:
        label = mixing.heaviest(classes[-n:])
        weights = classes[-n:] if contract.mixes_classes else None
    texts = None if request.text is None else [request.text] * n
    z = contract.with_scalars(z, as_numbers(request.scalars), weights, texts)
    asked = None if model.provenance is None else request_of("/v1/arithmetic", request)
    return Series(Draw(model, None, label, z, weights=weights, texts=texts, asked=asked), seeds)


def _sum(
    means: NDArray[np.float32], weights: list[float], normalize: bool, length: float | None
) -> NDArray[np.float32]:
    largest = max(map(abs, weights))
    if largest == 0:
        raise InvalidField("terms", "All weights are 0: the sum is nothing.")
    if not normalize:
        z = weighted_sum(means, weights)
        if not np.isfinite(z).all():
            raise InvalidField("terms", "The sum is not finite in float32: the weights are too large.")
        return z
    scaled = [weight / largest for weight in weights]  # the direction is all that is left of them
    z = weighted_sum(means, scaled)
    if np.linalg.norm(z) <= _NOTHING * np.linalg.norm(means, axis=1).max():
        raise InvalidField(
            "terms", "The terms cancel out: the zero vector has no direction; normalize false would give it."
        )
    return at_typical_length(z, length)


def _classes(request: ArithmeticRequest, contract: Contract) -> NDArray[np.float32] | None:
    """Of each term's picture, which is that of the sum where the term has none, and of the sum: weights float32 [terms + 1, K]."""
    own = [
        None if term.label is None else _row(term.label, contract, f"terms[{i}].label")
        for i, term in enumerate(request.terms)
    ]
    of_sum = own[0] if request.label is None else _row(request.label, contract, "label")
    if contract.classes is None:
        return None
    default = _row(0, contract, "label") if of_sum is None else of_sum
    return np.stack([default if row is None else row for row in own] + [default])


def _row(label: Label | Weights, contract: Contract, field: str) -> NDArray[np.float32]:
    """float32 [K]. Raises InvalidField, naming `field`."""
    try:
        return mixing.rows_of([label], contract)[0]
    except InvalidField as error:
        raise InvalidField(field, str(error)) from None
