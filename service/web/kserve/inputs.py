"""What the tensors of a KServe V2 request ask for together: seeds or z, or pictures, classes or weights of them, scalars, texts."""

from typing import Any, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.drawing.mixing import heaviest, label_index, shares
from service.errors import InvalidField
from service.generator.contract import Contract
from service.generator.file.inputs import WEIGHTS
from service.generator.latents import MAX_SEED


class Inputs(Struct):
    """What the tensors of a request ask for, checked against the model.

    z: float32 [n, z_dim], finite, or None; seeds: n of them, or None where z is given, or a picture to a model that draws
    nothing beside it. image: uint8 [n, C, H, W], or None of a model that is given none. label: n classes, or
    None for an unconditional model.
    """

    z: NDArray[np.float32] | None
    seeds: list[int] | None
    label: list[int] | None
    weights: NDArray[np.float32] | None
    """float32 [n, K], each row with a sum of 1, where images are of several classes; label has the heaviest then."""
    scalars: dict[str, float | list[float]]
    """One per image, of those that are given; their ranges are not checked yet."""
    image: NDArray[np.uint8] | None = None
    texts: list[str] | None = None
    """n of them, where they are given; whether they can be read is not checked yet."""


def agreed(tensors: dict[str, NDArray[Any]], contract: Contract, scalars: list[str]) -> Inputs:
    """Values in range, and one number of images. Raises InvalidField."""
    z, seed, label = tensors.get("z"), tensors.get("seed"), tensors.get("label")
    image = tensors.get("image")
    if contract.source is not None:
        for name in ("image", "seed") if contract.uses_seed else ("image",):
            if name not in tensors:
                raise InvalidField(name, f"The input '{name}' is missing.")
    elif (z is None) == (seed is None):
        both = "is given with z: they exclude each other, since z is what a seed stands for" * (z is not None)
        raise InvalidField(
            "seed", f"The input 'seed' {both or 'is missing, and so is z: one of them is needed'}."
        )
    if z is not None and not np.isfinite(z).all():
        raise InvalidField("z", "z holds a number that is not finite in float32.")
    if seed is not None and (seed.min() < 0 or seed.max() > MAX_SEED):
        worst = seed.min() if seed.min() < 0 else seed.max()
        raise InvalidField("seed", f"seed holds {worst}; allowed are 0 to {MAX_SEED}.")
    seeds: list[int] | None = None if seed is None else seed.tolist()
    n = len(next(one for one in (image, seeds, z) if one is not None))
    if image is not None and seeds is not None:
        _check_count("seed", len(seeds), n)
    chosen: dict[str, float | list[float]] = {
        name: tensors[name].tolist() for name in scalars if name in tensors
    }
    for name, values in chosen.items():
        _check_count(name, len(cast(list[float], values)), n)
    texts: list[str] | None = None
    if (given := tensors.get("text")) is not None:
        _check_count("text", len(given), n)
        texts = given.tolist()
    count = contract.class_count
    if not count:
        return Inputs(z, seeds, None, None, chosen, image, texts)
    if (rows := tensors.get(WEIGHTS)) is not None:
        if label is not None:
            raise InvalidField(
                WEIGHTS, f"{WEIGHTS} and label exclude each other: a class alone is a weight of 1."
            )
        _check_count(WEIGHTS, len(rows), n)
        weights = np.array([shares(row, WEIGHTS) for row in rows.tolist()], np.float32)
        return Inputs(z, seeds, heaviest(weights), weights, chosen, image, texts)
    if label is None:
        own = [first % count for first in (range(n) if seeds is None else seeds)]
        return Inputs(z, seeds, own, None, chosen, image, texts)
    _check_count("label", len(label), n)
    if label.min() < 0 or label.max() >= count:
        label_index(
            int(label.min() if label.min() < 0 else label.max()), contract
        )  # raises, listing the classes
    return Inputs(z, seeds, label.tolist(), None, chosen, image, texts)


def _check_count(name: str, count: int, n: int) -> None:
    """Raises InvalidField."""
    if count != n:
        raise InvalidField(name, f"{name} has {count} entries and the other input {n}: they must agree.")
