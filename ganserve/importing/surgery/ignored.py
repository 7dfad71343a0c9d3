"""Inputs that change nothing: one image would have many addresses. And those of which the graph makes NaN."""

from collections.abc import Callable
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.every_class import finite
from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.wishes import Fault

_SEEDS = 8
_MOST_CORNERS = 64
_ENDS = (0, 255)
_BROKEN = "NaN or infinity, or nothing but black and white, as of infinity within"


def ignored(original: Original, classes: int, levels: Callable[[NDArray], NDArray]) -> list[Fault]:
    """z, the label and each scalar, of which all that was tried gave the same pictures. classes: 0 without a label."""
    feeds, faults = original.feeds, []
    z = feeds.rows(range(_SEEDS))
    label = np.zeros(_SEEDS, np.int64) if classes else None
    raw = original.raw(z, label)
    if not finite(raw).all():
        return []
    first, *others = feeds.noises
    seen = levels(raw)

    def same(images: NDArray) -> bool:
        return bool(finite(images).all()) and np.array_equal(levels(images), seen)

    def broken(images: NDArray) -> NDArray[np.bool_]:
        bad = ~finite(images)
        if not np.isin(seen, _ENDS).all():
            bad[~bad] = [np.array_equal(np.unique(one), _ENDS) for one in levels(images[~bad])]
        return bad

    if (seen == seen[:1]).all():
        noise = "".join(f", nor does {one.input}" for one in others)
        said = f"the images of {_SEEDS} seeds are one, pixel by pixel"
        if all((one == one.flat[0]).all() for one in seen):
            said = f"every image is of one colour, {seen.flat[0]:g}"
        what = f"z, input {first.input}, changes nothing{noise}: {said}."
        mend = "--z NAME of another input, or --drawn NAME of its noise; else it has learnt one picture: take another checkpoint"
        faults.append(Fault(what, mend))
    if feeds.label is not None and label is not None and classes > 1:
        # One of the last, too: a table may have the same row twice.
        rest = [np.full(_SEEDS, one, np.int64) for one in {1, classes // 2, classes - 1}]
        if all(same(original.raw(z, one)) for one in rest):
            name = feeds.label.input.name
            what = f"The class, input {feeds.label.input}, changes nothing: {_SEEDS} seeds give the same images of {len(rest) + 1} classes."
            faults.append(
                Fault(what, f"--constant {name}=0, without classes; or --label NAME of another input")
            )
    for place, one in enumerate(feeds.scalars, feeds.z_dim):
        name, between = one.input.name, np.linspace(one.low, one.high, _SEEDS + 1)[1:]
        tried = [np.full(_SEEDS, one.low), np.full(_SEEDS, one.high), between]
        drawn = [original.raw(_with(z, place, values), label) for values in tried]
        bad = [values[broken(images)][:1] for values, images in zip(tried, drawn, strict=True)]
        if shown := ", ".join(f"{value:g}" for value in np.concatenate(bad)):
            what = f"Of input {one.input} at {shown} the graph gives {_BROKEN}."
            faults.append(Fault(what, f"--scalar {name}=LOW..HIGH:DEFAULT, of a range without it"))
        elif all(same(images) for images in drawn):
            what = f"Input {one.input} changes nothing, from {one.low:g} to {one.high:g}."
            mend = (
                f"--constant {name}={one.default:g}; or another range, as --scalar {name}=LOW..HIGH:DEFAULT"
            )
            faults.append(Fault(what, mend))
    return faults or _together(original, broken)


def _together(original: Original, broken: Callable[[NDArray], NDArray]) -> list[Fault]:
    """Where the graph gives NaN of several scalars at their ends, or of several classes at once."""
    feeds, faults = original.feeds, []
    if len(feeds.scalars) > 1:
        ends = [*islice(product(*((one.low, one.high) for one in feeds.scalars)), _MOST_CORNERS)]
        rows = feeds.rows(range(len(ends)))
        rows[:, feeds.z_dim : feeds.z_dim + len(feeds.scalars)] = ends
        label = None if feeds.label is None else np.zeros(len(ends), np.int64)
        if len(bad := np.flatnonzero(broken(original.raw(rows, label)))):
            shown = ", ".join(
                f"{one.input.name}={value:g}" for one, value in zip(feeds.scalars, ends[bad[0]], strict=True)
            )
            what = f"At {shown} together the graph gives {_BROKEN}."
            faults.append(Fault(what, "--scalar of narrower ranges, or --constant for one of them"))
    if feeds.mixes > 1 and feeds.label is not None:
        rows, ones = feeds.rows(range(_SEEDS)), np.eye(feeds.mixes, dtype=np.float32)
        place = np.arange(_SEEDS)
        rows[:, feeds.weights] = (ones[place % feeds.mixes] + ones[(place + 1) % feeds.mixes]) / 2
        rows[-1, feeds.weights] = 1 / feeds.mixes
        if broken(original.raw(rows, place % feeds.mixes)).any():
            what = f"Of several classes at once, which input {feeds.label.input} takes by its type, the graph gives {_BROKEN}."
            faults.append(Fault(what, "Export it again with a class as an index, or as a row of int64"))
    return faults


def _with(rows: NDArray[np.float32], place: int, values: NDArray) -> NDArray[np.float32]:
    rows = rows.copy()
    rows[:, place] = values
    return rows
