"""Is a picture the one that its address stands for? To the bit on the same engine and kind of CPU; else within rounding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# What bf16 moves in fp32's pictures, at most (docs/guarantees.md); two pictures of one class are many levels apart.
_MOST_MEAN, _MOST_P99 = 0.75, 8.0


def levels(got: NDArray[np.uint8], want: NDArray[np.uint8]) -> dict[str, float]:
    """|got - want| in uint8 levels; infinite where the shapes differ."""
    if got.shape != want.shape:
        return dict.fromkeys(("max", "p99", "mean"), float("inf"))
    apart = np.abs(got.astype(np.int16) - want)
    return {
        "max": float(apart.max()),
        "p99": float(np.percentile(apart, 99)),
        "mean": float(apart.mean()),
    }


def is_same(apart: dict[str, float]) -> bool:
    return apart["mean"] <= _MOST_MEAN and apart["p99"] <= _MOST_P99


def worst(all_apart: list[dict[str, float]]) -> dict[str, Any]:
    return {name: max(apart[name] for apart in all_apart) for name in ("max", "p99", "mean")}
