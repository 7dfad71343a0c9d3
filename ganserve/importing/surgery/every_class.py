"""A look at every class: a generator may have learnt all but one, and may not tell one from another."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.wishes import Fault

SECONDS = 20.0
_AT_ONCE = 16
_SHOWN = 8
_LOOKED_AT = 256
_BEYOND = 8
Levels = Callable[[NDArray], NDArray[np.uint8]]
"""From what the graph gives, finite, to what is seen of it."""


def every_class(
    original: Original, names: Sequence[str], raw: NDArray, levels: Levels | None
) -> tuple[Fault | None, list[tuple[int, int]]]:
    """The classes of which the graph gives NaN or infinity, as one fault; and pairs that it draws alike, some of them, where levels are known.

    raw: what was drawn of `original.inputs`. For SECONDS at most, from the last class on, which is soonest out of a table.
    """
    count = len(names)
    bad = {i % count for i in np.flatnonzero(~finite(raw)).tolist()}
    begun = time.monotonic()
    every = np.arange(count)[::-1]
    looks: dict[int, NDArray] = {}
    for start in range(0, count, _AT_ONCE):
        if time.monotonic() - begun > SECONDS:
            break
        label = every[start : start + _AT_ONCE]
        drawn = original.raw(original.feeds.rows([0] * len(label)), label)
        is_fine = finite(drawn)
        bad |= set(label[~is_fine].tolist())
        if levels is None:
            continue
        seen = levels(drawn[is_fine]).reshape(int(is_fine.sum()), -1)
        looks |= zip(
            label[is_fine].tolist(), seen[:, :: 1 + seen.shape[1] // _LOOKED_AT].astype(int), strict=True
        )
    # What is alike is side by side then.
    order = sorted(looks, key=lambda one: looks[one].sum())
    pairs = [(min(pair), max(pair)) for pair in pairwise(order) if same(*(looks[one] for one in pair))]
    pairs = [
        pair
        for pair in sorted(pairs)[: 2 * _SHOWN]
        if levels and same(*levels(original.raw(original.feeds.rows([1, 1]), np.array(pair))))
    ]
    if not bad:
        return None, pairs
    shown = ", ".join(f"{label} ('{names[label]}')" for label in sorted(bad)[:_SHOWN])
    more = f", and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    what = f"Of {len(bad)} of {count} classes the graph gives NaN or infinity: {shown}{more}."
    return Fault(what, "--classes with those before them only, or another checkpoint."), pairs


def alike(pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    """As one line."""
    shown = ", ".join(f"{b} ('{names[b]}') as {a} ('{names[a]}')" for a, b in pairs[:_SHOWN])
    more = ", and more" if len(pairs) > _SHOWN else ""
    return f"Of {len(names):,} classes the graph draws {shown}{more}"


def outside(original: Original, names: Sequence[str], levels: Levels) -> Fault | None:
    """Where the first or last class draws what numbers do that are no classes: it is none, or labels begin at another number."""

    def draw(label: int) -> NDArray | None:
        try:
            drawn = original.raw(original.feeds.rows([0]), np.array([label]))
        except Exception:  # of a number that it has no row for, as most do
            return None
        return levels(drawn) if finite(drawn).all() else None

    def is_one(a: NDArray | None, b: NDArray | None) -> bool:
        return a is not None and b is not None and same(a, b)

    count = len(names)
    first, last = draw(0), draw(count - 1)
    if is_one(none := draw(-1), draw(count + _BEYOND)):
        for label, image in {0: first, count - 1: last}.items():
            if is_one(image, none):
                what = f"Class {label} ('{names[label]}') draws what -1 and {count + _BEYOND} do, which are no classes: the graph knows fewer."
                return Fault(what, "--classes with as many names as it has classes")
    before = None
    for label in range(count, count + _BEYOND):
        if (image := draw(label)) is None:
            if is_one(before, first):
                what = f"Class 0 ('{names[0]}') draws what label {label - 1} does: the graph counts its classes from 1, and 0 falls to the last."
                return Fault(what, "Export it again with labels that begin at 0")
            break
        before = image
    return None


def same(image: NDArray, other: NDArray) -> bool:
    """Whether nobody sees a difference; rounding may move a level."""
    return bool((np.abs(image.astype(int) - other.astype(int)) <= 1).all())


def finite(raw: NDArray) -> NDArray[np.bool_]:
    """raw: [N, ...]. Returns [N]."""
    return np.asarray(np.isfinite(raw.astype(np.float64)).reshape(len(raw), -1).all(axis=1))
