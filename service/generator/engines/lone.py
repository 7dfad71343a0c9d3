"""A pass that runs alone: on one thread as any other, or on all of them?"""

import time
from collections.abc import Callable
from functools import partial
from timeit import repeat

import numpy as np
from numpy.typing import NDArray

from service.generator.contract import Contract
from service.generator.engine import Forward

CLEARLY = 1.2
"""How much faster another must be to be taken instead, so that equal machines choose alike."""
_SIZES = (1, 2, 4, 8)
_FASTER = 0.9
_COMPARED, _FEW_COMPARED = 32, 8
LONG_SECONDS = 0.05
"""Of a pass beside which waking threads is nothing: more images would show no more, and loading would take minutes."""


def pays_from(one: Forward, every: Forward, contract: Contract) -> int | None:
    """The batch size from which a pass on every thread is faster than on one, with the same bytes; None if it never is.

    Waking the threads for each operator costs more than they gain in a small generator: at 0.5M parameters,
    two took 1.24 times as long as one at 1 image, and as long at 8. An engine may also sum in another order on
    several threads, and then the picture of a lone request would not be that of a batch.
    """
    for size in _SIZES:
        given = inputs(contract, 0, size)
        one_seconds, every_seconds = (best_seconds(partial(forward, *given)) for forward in (one, every))
        if every_seconds < _FASTER * one_seconds:
            break
        if one_seconds > LONG_SECONDS:
            return None
    else:
        return None
    compared = _COMPARED if one_seconds < LONG_SECONDS else _FEW_COMPARED
    for begin in range(0, compared, size):
        given = inputs(contract, begin, size)
        if not np.array_equal(one(*given), every(*given)):
            return None
    return size


def best_seconds(forward: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The best of five; a long one is disturbed by little, so its best of two: more would take most of a large file's loading."""
    best = min(repeat(forward, timer=clock, number=1, repeat=2))
    return best if best > LONG_SECONDS else min(best, *repeat(forward, timer=clock, number=1, repeat=3))


def from_size(least: int, one: Forward, every: Forward) -> Forward:
    """`every` for passes of so many images and more, else `one`."""

    def forward(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        return every(z, label) if len(z) >= least else one(z, label)

    return forward


def in_passes_of(batch: int | None, forward: Forward) -> Forward:
    """`forward`, which takes so many images only, for any number: the last of a pass that is not full is repeated."""
    if batch is None:
        return forward

    def padded(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        count, parts = len(z), []
        for start in range(0, count, batch):
            rows = np.minimum(np.arange(start, start + batch), count - 1)
            parts.append(forward(z[rows], None if label is None else label[rows]))
        return np.concatenate(parts)[:count] if len(parts) > 1 else parts[0][:count]

    return padded


def inputs(contract: Contract, begin: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """z and label of a pass: seeds begin to begin + size - 1, all classes in turn."""
    label = None if contract.classes is None else np.arange(begin, begin + size) % contract.class_count
    return contract.rows(range(begin, begin + size)), label
