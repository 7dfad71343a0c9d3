"""A look at every class: a generator may have learnt all but one."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.wishes import Fault

SECONDS = 20.0
_AT_ONCE = 16
_SHOWN = 8


def without_pictures(original: Original, names: Sequence[str], raw: NDArray) -> Fault | None:
    """The classes of which the graph gives NaN or infinity, as one fault.

    raw: what was drawn of `original.inputs`. For SECONDS at most, from the last class on, which is soonest out of a table.
    """
    count = len(names)
    bad = {i % count for i in np.flatnonzero(~finite(raw)).tolist()}
    begun = time.monotonic()
    every = np.arange(count)[::-1]
    for start in range(0, count, _AT_ONCE):
        if time.monotonic() - begun > SECONDS:
            break
        label = every[start : start + _AT_ONCE]
        drawn = original.raw(original.feeds.rows(label.tolist()), label)
        bad |= set(label[~finite(drawn)].tolist())
    if not bad:
        return None
    shown = ", ".join(f"{label} ('{names[label]}')" for label in sorted(bad)[:_SHOWN])
    more = f", and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    what = f"Of {len(bad)} of {count} classes the graph gives NaN or infinity: {shown}{more}."
    return Fault(what, "--classes with those before them only, or another checkpoint.")


def finite(raw: NDArray) -> NDArray[np.bool_]:
    """raw: [N, ...]. Returns [N]."""
    return np.asarray(np.isfinite(raw.astype(np.float64)).reshape(len(raw), -1).all(axis=1))
