"""Inputs that change nothing: one image would have many addresses. As the original draws, number by number."""

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.wishes import Fault

_SEEDS = 8


def ignored(original: Original, classes: int) -> list[Fault]:
    """z, the label and each scalar, of which all that was tried gave the same. classes: 0 without a label."""
    feeds, faults = original.feeds, []
    z = feeds.rows(range(_SEEDS))
    label = np.zeros(_SEEDS, np.int64) if classes else None
    raw = original.raw(z, label)
    if not np.isfinite(raw.astype(np.float64)).all():
        return []
    first, *others = feeds.noises
    if (raw == raw[:1]).all():
        noise = "".join(f", nor does {one.input}" for one in others)
        seen = f"the images of {_SEEDS} seeds are one, number by number"
        if all((one == one.flat[0]).all() for one in raw):
            seen = f"every image is of one colour, {raw.flat[0]:g}"
        what = f"z, input {first.input}, changes nothing{noise}: {seen}."
        mend = "--z NAME of another input, or --drawn NAME of its noise; else it has learnt one picture: take another checkpoint"
        faults.append(Fault(what, mend))
    if feeds.label is not None and label is not None and classes > 1:
        # One of the last, too: a table may have the same row twice.
        rest = [np.full(_SEEDS, one, np.int64) for one in {1, classes // 2, classes - 1}]
        if all(_same(original.raw(z, one), raw) for one in rest):
            name = feeds.label.input.name
            what = f"The class, input {feeds.label.input}, changes nothing: {_SEEDS} seeds give the same images of {len(rest) + 1} classes."
            faults.append(
                Fault(what, f"--constant {name}=0, without classes; or --label NAME of another input")
            )
    for place, one in enumerate(feeds.scalars, feeds.z_dim):
        if all(_same(original.raw(_with(z, place, value), label), raw) for value in (one.low, one.high)):
            what = f"Input {one.input} changes nothing, from {one.low:g} to {one.high:g}."
            mend = f"--constant {one.input.name}={one.default:g}; or another range, as --scalar {one.input.name}=LOW..HIGH:DEFAULT"
            faults.append(Fault(what, mend))
    return faults


def _with(rows: NDArray[np.float32], place: int, value: float) -> NDArray[np.float32]:
    rows = rows.copy()
    rows[:, place] = value
    return rows


def _same(images: NDArray, others: NDArray) -> bool:
    return np.array_equal(images, others, equal_nan=True)
