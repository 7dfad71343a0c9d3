"""seed -> z, and what can be done to z.

A seed is an image's address: the same seed gives the same z on every machine and in every later
version. So nothing here depends on a library's random stream or on a platform's libm:

    z = QUANTILES[SHAKE128("ganserve z1" || seed as 8 bytes, little endian), read as uint16 little endian]

SHAKE128 (FIPS 202) is a counter-based generator that every language ships; QUANTILES holds the
standard normal's 65,536 mid-point quantiles as float32, so |z| < 4.4. Where a generator was trained on another law, that
law's quantiles stand in their place (`quantiles_of` in laws.py): the inverse of its distribution function, of the same numbers.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.generator.laws import PIXELS, QUANTILES, mean_square, quantiles_of

MAX_SEED = 2**53 - 1  # the largest integer that JavaScript, and so any JSON client, holds exactly

_PREFIX = b"ganserve z1"


class Part(NamedTuple):
    """So many numbers of z in a row. scales: whether truncation scales them."""

    size: int
    law: str
    scales: bool


class Space(NamedTuple):
    """What an image's row of numbers holds, where that is more than a standard normal z: z in parts, and then scalars.

    scalars: how many numbers come behind z, weights of classes included.
    """

    parts: tuple[Part, ...]
    scalars: int

    @property
    def z_dim(self) -> int:
        return sum(part.size for part in self.parts)

    def draw(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """z of each seed, float32 [len(seeds), z_dim]."""
        numbers = _numbers(seeds, self.z_dim)
        z, begin = np.empty(numbers.shape, np.float32), 0
        for part in self.parts:
            place = slice(begin, begin + part.size)
            z[:, place] = quantiles_of(part.law)[numbers[:, place]]
            begin += part.size
        return z

    def draw_beside(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """As `draw`, but for pictures that are about to be laid in: there 0, and not drawn where nothing comes behind."""
        ends = np.cumsum([part.size for part in self.parts]).tolist()
        drawn = [(part, end) for part, end in zip(self.parts, ends, strict=True) if part.law != PIXELS]
        numbers = _numbers(seeds, drawn[-1][1])
        z = np.zeros((len(numbers), self.z_dim), np.float32)
        for part, end in drawn:
            place = slice(end - part.size, end)
            z[:, place] = quantiles_of(part.law)[numbers[:, place]]
        return z

    def truncated(self, rows: NDArray[np.float32], truncation: float) -> NDArray[np.float32]:
        """rows: float32 [N, z_dim], or with the scalars behind; what truncation scales is scaled."""
        if truncation == 1:
            return rows
        rows, begin = rows.copy(), 0
        for part in self.parts:
            if part.scales:
                rows[:, begin : begin + part.size] *= np.float32(truncation)
            begin += part.size
        return rows

    def scaled(self, rows: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
        """rows: as above; all of z is scaled, to what it may be: of a picture, whole levels of 0 to 255."""
        rows, begin = rows.copy(), 0
        for part in self.parts:
            place = slice(begin, begin + part.size)
            rows[:, place] *= np.float32(scale)
            if part.law == PIXELS:
                rows[:, place] = np.rint(rows[:, place]).clip(0, 255)
            begin += part.size
        return rows

    @property
    def typical_length(self) -> float:
        """Near which all draws of z lie, of many numbers."""
        return math.sqrt(sum(part.size * mean_square(part.law) for part in self.parts))


def _numbers(seeds: Iterable[int], z_dim: int) -> NDArray[np.uint16]:
    """uint16 [len(seeds), z_dim]: which of 65,536 quantiles each number of z is."""
    size = 2 * z_dim
    shake = hashlib.shake_128
    stream = b"".join([shake(_PREFIX + seed.to_bytes(8, "little")).digest(size) for seed in seeds])
    return np.frombuffer(stream, "<u2").reshape(-1, z_dim)


def latents(seeds: Iterable[int], z_dim: int) -> NDArray[np.float32]:
    """z of each seed: standard normal, a function of (seed, z_dim) alone, for ever.

    seeds: integers in [0, 2**53 - 1]; z_dim >= 1.
    Returns float32 [len(seeds), z_dim], |z| < 4.4. A smaller z_dim gives a prefix of a larger one.
    """
    return QUANTILES[_numbers(seeds, z_dim)]


@dataclass(slots=True)
class Seeded:
    """The z of some seeds, not computed yet: a forward pass computes those of all its requests at once.

    seeds: in any order, and what slices like itself: a range, or a list. space: where z is more than standard normal;
    scalars: of each image, float32 [n, space.scalars]. codes: what was asked of z itself, float32 [n, z_dim], and NaN where the
    seed decides.
    """

    seeds: Sequence[int]
    z_dim: int
    truncation: float = 1.0
    space: Space | None = None
    scalars: NDArray[np.float32] | None = None
    codes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, rows: slice) -> "Seeded":
        scalars = None if self.scalars is None else self.scalars[rows]
        codes = None if self.codes is None else self.codes[rows]
        return Seeded(self.seeds[rows], self.z_dim, self.truncation, self.space, scalars, codes)

    def rows(self) -> NDArray[np.float32]:
        """Of a generator with a space: z, and the scalars behind it."""
        assert self.space is not None
        z = with_codes(self.space.truncated(self.space.draw(self.seeds), self.truncation), self.codes)
        return z if self.scalars is None else np.concatenate([z, self.scalars], axis=1)


def with_codes(z: NDArray[np.float32], codes: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """z, float32 [N, z_dim], with what was asked of it; codes: the same shape, NaN where z stays."""
    return z if codes is None else np.where(np.isnan(codes), z, codes)


def rows_of(parts: "Sequence[NDArray[Any] | Seeded]") -> NDArray[Any]:
    """The z of all parts, in order, and what else an image's row of numbers holds.

    parts: at least one, of one generator; arrays float32 [n, z_dim], or wider where there are scalars, and Seeded.
    Returns float32 [sum of n, z_dim].
    """
    seeded = [part for part in parts if isinstance(part, Seeded)]
    if not seeded:
        return np.concatenate(parts)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if seeded[0].space is not None:
        return np.concatenate([part.rows() if isinstance(part, Seeded) else part for part in parts])
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


def linear(z0: NDArray[np.float32], z1: NDArray[np.float32], t: NDArray[np.float64]) -> NDArray[np.float32]:
    """The straight line from z0 to z1 (Goodfellow et al. 2014, figure 3).

    It is shorter in its middle than any z that the generator was trained on: half way between two independent
    normals, by a factor of sqrt 2.
    z0, z1: float32 [z_dim]; t: [N], in 0 to 1. Returns float32 [N, z_dim]: exactly z0 at 0, exactly z1 at 1.
    """
    a, b, t = z0.astype(np.float64), z1.astype(np.float64), t[:, None]
    return ((1 - t) * a + t * b).astype(np.float32)


def spherical(
    z0: NDArray[np.float32], z1: NDArray[np.float32], t: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The great circle from z0 to z1: slerp (Shoemake 1985), as White 2016 (arXiv:1609.04468) has it for z.

    Between points of one length, all have that length, and equal steps of t are equal angles. Where there is no
    one great circle it is the straight line: from or to 0, between parallel points, and between opposite ones,
    where the line passes through 0.
    z0, z1: float32 [z_dim]; t: [N], in 0 to 1. Returns float32 [N, z_dim]: exactly z0 at 0, exactly z1 at 1; inf
    where float32 can't hold it.
    """
    a, b, t = z0.astype(np.float64), z1.astype(np.float64), t[:, None]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if not all(lengths):
        return linear(z0, z1, t[:, 0])
    u, v = a / lengths[0], b / lengths[1]
    # Not arccos(u @ v), which loses half its digits where the two are nearly parallel.
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if np.sin(angle) < 1e-6:
        return linear(z0, z1, t[:, 0])
    with np.errstate(over="ignore"):
        z = np.sin((1 - t) * angle) / np.sin(angle) * a + np.sin(t * angle) / np.sin(angle) * b
        return z.astype(np.float32)


def mean(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """The average, steadier than one z alone (Radford et al. 2016, arXiv:1511.06434, section 6.3.2, who took three).

    z: float32 [N, z_dim], N >= 1. Returns float32 [z_dim], some sqrt N times shorter than one z; z[0] itself for N=1.
    """
    return z.mean(axis=0, dtype=np.float64).astype(np.float32)


def weighted_sum(z: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float32]:
    """Arithmetic on z: smiling woman - neutral woman + neutral man (Radford et al. 2016, section 6.3.2, figure 7).

    z: float32 [N, z_dim]; weights: N, finite. Returns float32 [z_dim]; inf or NaN where float32 can't hold it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return (np.array(weights, np.float64)[:, None] * z).sum(axis=0).astype(np.float32)


def at_typical_length(z: NDArray[np.float32], length: float | None = None) -> NDArray[np.float32]:
    """z scaled to length sqrt(z_dim), near which all draws of a standard normal lie (White 2016), or to another.

    Sums and averages are longer or shorter than anything that the generator was trained on.
    z: float32 [z_dim], finite, not 0. Returns float32 [z_dim].
    """
    direction = z.astype(np.float64) / np.abs(z).max()
    length = math.sqrt(len(z)) if length is None else length
    return (direction * (length / np.linalg.norm(direction))).astype(np.float32)
