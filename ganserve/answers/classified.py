"""The classes that a server takes pictures for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Classifications:
    """Of N pictures, of each the T most likely classes, the most likely first."""

    labels: list[list[str]]
    """N lists of T class names."""
    probabilities: NDArray[np.float64]
    """float64 [N, T]; a row's sum is 1 where T is all classes."""
    model: str
    version: str


def read(replies: Sequence[Any], model: str, version: str) -> Classifications:
    """What some replies of one version hold together. Raises LookupError, TypeError and ValueError where that is none."""
    found = [one["classes"] for reply in replies for one in reply["images"]]
    return Classifications(
        [[str(likely["label"]) for likely in classes] for classes in found],
        np.array([[likely["probability"] for likely in classes] for classes in found], np.float64),
        model,
        version,
    )
