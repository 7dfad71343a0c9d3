"""seed -> z, and what can be done to z.

A seed is an image's address: the same seed gives the same z on every machine and in every later
version. So nothing here depends on a library's random stream or on a platform's libm:

    z = QUANTILES[SHAKE128("ganserve z1" || seed as 8 bytes, little endian), read as uint16 little endian]

SHAKE128 (FIPS 202) is a counter-based generator that every language ships; QUANTILES holds the
standard normal's 65,536 mid-point quantiles as float32, so |z| < 4.4.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**53 - 1  # the largest integer that JavaScript, and so any JSON client, holds exactly

_PREFIX = b"ganserve z1"
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


def latents(seeds: Iterable[int], z_dim: int) -> NDArray[np.float32]:
    """z of each seed: standard normal, a function of (seed, z_dim) alone, for ever.

    seeds: integers in [0, 2**53 - 1]; z_dim >= 1.
    Returns float32 [len(seeds), z_dim], |z| < 4.4. A smaller z_dim gives a prefix of a larger one.
    """
    size = 2 * z_dim
    shake = hashlib.shake_128
    stream = b"".join([shake(_PREFIX + seed.to_bytes(8, "little")).digest(size) for seed in seeds])
    return QUANTILES[np.frombuffer(stream, "<u2")].reshape(-1, z_dim)


@dataclass(slots=True)
class Seeded:
    """The z of some seeds, not computed yet: a forward pass computes those of all its requests at once."""

    seeds: range
    z_dim: int
    truncation: float = 1.0

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, rows: slice) -> "Seeded":
        return Seeded(self.seeds[rows], self.z_dim, self.truncation)


def rows_of(parts: "Sequence[NDArray[np.float32] | Seeded]") -> NDArray[np.float32]:
    """The z of all parts, in order.

    parts: at least one; arrays float32 [n, z_dim] and Seeded of the same z_dim.
    Returns float32 [sum of n, z_dim].
    """
    seeded = [part for part in parts if isinstance(part, Seeded)]
    if not seeded:
        return np.concatenate(parts)  # pyright: ignore[reportArgumentType, reportCallIssue]
    drawn = latents([seed for part in seeded for seed in part.seeds], seeded[0].z_dim)
    if len(seeded) == len(parts) and all(part.truncation == 1 for part in seeded):
        return drawn
    rows, begin = [], 0
    for part in parts:
        if isinstance(part, Seeded):
            rows.append(truncate(drawn[begin : begin + len(part)], part.truncation))
            begin += len(part)
        else:
            rows.append(part)
    return np.concatenate(rows)


def truncate(z: NDArray[np.float32], truncation: float) -> NDArray[np.float32]:
    """z scaled by truncation, in (0, 1]: sampling at a reduced temperature (Kingma and Dhariwal 2018, section 6).

    Scaling keeps an image's identity as truncation falls; BigGAN's resampling would replace it.
    z: float32 [N, z_dim]. Returns float32 [N, z_dim]; z itself at 1.
    """
    return z if truncation == 1 else z * np.float32(truncation)
