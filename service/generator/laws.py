"""The laws that numbers of z have: 65,536 mid-point quantiles of each, as float32, the same on every machine."""

import hashlib
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_QUANTILES_SHA256 = "1cfbba1e07e34386a57626f82aeb43e6ed54ba70a3ea6b7d964dc66a841074a8"


def _quantiles() -> NDArray[np.float32]:
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse((k + 0.5) / 65536) for k in range(32768, 65536)], np.float32)
    table = np.concatenate([-upper[::-1], upper])
    # A libm that rounds log otherwise would move a value by one float32 step, silently.
    if hashlib.sha256(table.astype("<f4").tobytes()).hexdigest() != _QUANTILES_SHA256:
        raise RuntimeError(
            "This platform computes other normal quantiles: seeds would not keep their images."
        )
    return table


QUANTILES = _quantiles()


_WITHIN = NormalDist().cdf(2) - NormalDist().cdf(-2)
_HALVES: dict[str, tuple[Callable[[float], float], bool, str]] = {
    # Of the upper half, at shares of 0.5 to 1; whether the lower is its mirror image, and the table's SHA-256.
    "truncated": (
        lambda share: NormalDist().inv_cdf(0.5 + (share - 0.5) * _WITHIN),
        True,
        "6b075029120987c39b76f11bec072a269f3100b8d6fbed67643c8b17946dfe39",
    ),
    "uniform": (
        lambda share: 2 * share - 1,
        True,
        "e5391733f9c5678058cffe956c9532c8be9b15b06f5dd65136e417815336f836",
    ),
    "uniform01": (
        lambda share: share,
        False,
        "47dd073c4afc2aae9fea81e3ba80bca38e2157ed9eeb758bc30532742d287e3e",
    ),
}
PIXELS, WHOLE = "pixels", "whole "
MEAN_SQUARES = {
    "normal": 1.0,
    "truncated": 1 - 4 * NormalDist().pdf(2) / _WITHIN,
    "uniform": 1 / 3,
    "uniform01": 1 / 3,
    PIXELS: 255 * 511 / 6,
}
"""Of one number of z, by its law: standard normal; that within -2 to 2; uniform in -1 to 1, or in 0 to 1; a whole level of 0 to 255."""


@cache
def quantiles_of(law: str) -> NDArray[np.float32]:
    """float32 [65536]. Raises KeyError: not one of MEAN_SQUARES, nor whole numbers below a count, as `whole 10` has them."""
    if law == "normal":
        return QUANTILES
    if law == PIXELS:
        return np.arange(256, dtype=np.float32).repeat(256)
    if law.startswith(WHOLE):
        # As floor(count * share) of the mid-points, of which none lies on a bound.
        return ((2 * np.arange(65536) + 1) * int(law.removeprefix(WHOLE)) // 131072).astype(np.float32)
    inverse, is_mirrored, sha256 = _HALVES[law]
    lower = 0 if not is_mirrored else 32768
    table = np.array([inverse((k + 0.5) / 65536) for k in range(lower, 65536)], np.float32)
    table = np.concatenate([-table[::-1], table]) if is_mirrored else table
    if hashlib.sha256(table.astype("<f4").tobytes()).hexdigest() != sha256:
        raise RuntimeError("This platform computes other quantiles: seeds would not keep their images.")
    return table


def mean_square(law: str) -> float:
    """Of one number of this law."""
    if not law.startswith(WHOLE):
        return MEAN_SQUARES[law]
    count = int(law.removeprefix(WHOLE))
    return (count - 1) * (2 * count - 1) / 6
