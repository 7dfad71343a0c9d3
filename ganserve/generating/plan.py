"""What a set holds: which seeds, of which classes, in which shards. A function of what was asked for, and of the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

BLOCK_IMAGES, BLOCK_BYTES = 256, 4 * 2**20
"""Most images, and most bytes of pixels, that are drawn and encoded at a stretch: what is in memory is a few of these."""
SHARD_IMAGES, SHARD_BYTES = 100_000, 128 * 2**20
"""Of a shard, if nothing else is asked for: what a killed run draws again."""
MOST_SHARDS = 100_000
"""As their numbers have five digits."""


class Refused(Exception):
    """The set can't be made, or is not what its manifest says; one line for people."""


@dataclass(frozen=True)
class Origin:
    """What draws the pictures. classes, slugs: empty for an unconditional model. image: channels, height, width."""

    model: str
    version: str
    engine: str
    precision: str
    classes: Sequence[str]
    slugs: Sequence[str]
    image: tuple[int, int, int]

    @property
    def image_bytes(self) -> int:
        channels, height, width = self.image
        return channels * height * width


@dataclass(frozen=True)
class Shard:
    """Consecutive seeds that are in one file, or in one entry of the manifest where each picture is a file."""

    number: int
    seeds: range


@dataclass(frozen=True)
class Block:
    """Consecutive seeds of one shard. labels: one a seed, or None for an unconditional model; texts: one a seed, where there are some."""

    shard: Shard
    seeds: range
    labels: list[int] | None
    texts: list[str] | None = None


@dataclass(frozen=True)
class Plan:
    """labels: the classes that take turns: image i, whose seed is first + i, has labels[seed mod their number].

    With every class in order that is what the service gives a seed without a label. Empty for an unconditional model.
    texts: take turns as classes do; none: the model reads none, or draws the empty one.
    """

    seeds: range
    labels: Sequence[int]
    truncation: float
    shard_images: int
    block_images: int
    texts: Sequence[str] = ()

    @property
    def shards(self) -> list[Shard]:
        starts = range(0, len(self.seeds), self.shard_images)
        return [
            Shard(number, self.seeds[start : start + self.shard_images])
            for number, start in enumerate(starts)
        ]

    def labels_of(self, seeds: range) -> list[int] | None:
        count = len(self.labels)
        return [self.labels[seed % count] for seed in seeds] if count else None

    def texts_of(self, seeds: range) -> list[str] | None:
        count = len(self.texts)
        return [self.texts[seed % count] for seed in seeds] if count else None

    def blocks(self, shards: Sequence[Shard]) -> Iterator[Block]:
        for shard in shards:
            for start in range(0, len(shard.seeds), self.block_images):
                seeds = shard.seeds[start : start + self.block_images]
                yield Block(shard, seeds, self.labels_of(seeds), self.texts_of(seeds))

    def facts(self) -> dict[str, Any]:
        return {
            "images": len(self.seeds),
            "seeds": [self.seeds[0], self.seeds[-1]],
            "labels": list(self.labels),
            "truncation": self.truncation,
            "shard_images": self.shard_images,
        } | ({"texts": list(self.texts)} if self.texts else {})


def plan(
    origin: Origin,
    n: int | None,
    per_class: int | None,
    seed: int,
    labels: Sequence[int],
    truncation: float,
    shard_images: int | None,
    most_batch: int,
    texts: Sequence[str] = (),
) -> Plan:
    """labels: those asked for; none: all. most_batch: images of a pass, which blocks are whole multiples of.

    Raises Refused.
    """
    turns = list(labels) or list(range(len(origin.classes)))
    if per_class is not None and not turns:
        raise Refused(f"{origin.model} has no classes: --n says how many images.")
    total = n if n is not None else (per_class or 0) * len(turns)
    if n is not None and per_class is not None and n != per_class * len(turns):
        raise Refused(
            f"--n {n} is not --per-class {per_class} times {len(turns)} classes: give one of the two."
        )
    if seed + total - 1 > 2**53 - 1:
        raise Refused(f"The last seed would be {seed + total - 1}; it can be at most {2**53 - 1}.")
    fitting = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // origin.image_bytes))
    block = fitting // most_batch * most_batch or fitting
    shard = shard_images or max(1, min(SHARD_IMAGES, SHARD_BYTES // origin.image_bytes))
    if (shards := -(-total // shard)) > MOST_SHARDS:
        raise Refused(
            f"{total:,} images are {shards:,} shards of {shard:,}, and {MOST_SHARDS:,} are the most: --shard-images makes them larger."
        )
    return Plan(range(seed, seed + total), turns, truncation, shard, block, texts)
