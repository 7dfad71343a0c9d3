"""Several classes in one image: weights over classes in the place of a label, where a generator's file takes them."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from service.drawing.fields import Label
from service.errors import InvalidField
from service.generator.contract import Contract

Weights = Annotated[dict[str, float], Meta(min_length=1)]
_ALMOST_ONE = 1e-6

TAKEN_BY = "weights of several classes are taken by /v1/samples, /v1/interpolations and /v1/arithmetic"
"""For the refusals of routes that take one class."""


def label_index(label: Label, contract: Contract) -> int:
    """The class of a name (any case), a slug or an index. Raises InvalidField, listing the classes."""
    if contract.classes is None:
        raise InvalidField("label", "This model is unconditional: it takes no label.")
    if isinstance(label, str):
        index = contract.label_of(label)
        if index is None and label.isascii() and label.isdigit() and len(label) < 10:
            index = int(label)
    else:
        index = label
    if index is None or not 0 <= index < contract.class_count:
        shown = ", ".join(contract.classes[:50]) + (", ..." if contract.class_count > 50 else "")
        raise InvalidField(
            "label",
            f"'{str(label)[:64]}' is no class of this model; allowed are the indexes 0 to "
            f"{contract.class_count - 1} and the names {shown}.",
        )
    return index


def is_mixed(label: Label | Weights | Sequence[Label | Weights] | None) -> bool:
    """Whether any of it is more than a class."""
    return isinstance(label, dict) or (
        isinstance(label, list) and any(isinstance(one, dict) for one in label)
    )


def rows_of(labels: Sequence[Label | Weights], contract: Contract) -> NDArray[np.float32]:
    """Weights of the classes for each image, float32 [len(labels), K]; a class alone is a row of one 1.

    Raises InvalidField: the file takes one class for an image; what is no class; weights below 0, or all 0.
    """
    rows = np.zeros((len(labels), contract.class_count), np.float32)
    for row, label in zip(rows, labels, strict=True):
        if not isinstance(label, dict):
            row[label_index(label, contract)] = 1
            continue
        indexes = [label_index(name, contract) for name in label]
        if not contract.mixes_classes:
            text = "This model's file takes one class for an image, not weights: its card's mixes_classes is false."
            raise InvalidField("label", text)
        if len(set(indexes)) < len(indexes):
            raise InvalidField("label", "A class has one weight; one of these is there twice.")
        row[indexes] = shares(list(label.values()), "label")
    return rows


def shares(weights: Sequence[float], field: str) -> Sequence[float]:
    """Weights of an image's classes with a sum of 1. Raises InvalidField, naming `field`: below 0, all 0, not finite."""
    total = sum(weights)
    if min(weights) < 0 or not 0 < total < math.inf:
        raise InvalidField(field, "Weights of classes are numbers from 0 on, and one at least is above 0.")
    # A reply's own weights give the same image again, to the bit.
    return weights if abs(total - 1) < _ALMOST_ONE else [weight / total for weight in weights]


def heaviest(rows: NDArray[np.float32]) -> list[int]:
    """What stands for an image where one class is to be named: float32 [N, K] -> the class of most weight, the first of several."""
    return rows.argmax(axis=1).tolist()


def named(row: NDArray[np.float32], classes: list[str]) -> str | dict[str, float]:
    """As a request has it: the class, or the weights of several. row: float32 [K]."""
    some = np.flatnonzero(row).tolist()
    return classes[some[0]] if len(some) == 1 else {classes[i]: float(row[i]) for i in some}
