"""What every engine promises."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Forward = Callable[[NDArray[np.float32], NDArray[np.int64] | None], NDArray[np.uint8]]
"""One forward pass: z float32 [N, row_dim] (z, and a scalar each, if there are some), label int64 [N] in range (None if unconditional)
-> image uint8 [N, C, H, W], owned by the caller. Image i depends on (z[i], label[i]) alone."""


class Passes(Protocol):
    """What a batcher knows of an engine, which may also be an encoder's: rows in, a row out for each."""

    @property
    def lanes(self) -> Sequence[Callable[..., NDArray[Any]]]: ...
    @property
    def wide(self) -> Callable[..., NDArray[Any]]: ...
    @property
    def buckets(self) -> Sequence[int]: ...


class Engine(Protocol):
    """One generator, loaded on one device."""

    name: str
    """`onnxruntime`, `openvino` or `fake`."""
    provider: str
    """The device as the library names it, asked of the session after it was made."""
    precision: str
    """`fp32`, `bf16`, `fp16` or `tf32`: what the arithmetic is done in."""
    reason: str
    """Why this engine, precision and number of threads: one sentence for people."""
    lanes: Sequence[Forward]
    """One a pass that may run at once; each is called by one thread at a time. Engines may differ in how many they have."""
    on_caller: bool
    """Whether a lane computes on the thread that calls it, and on no other."""
    wide: Forward
    """For a pass that begins while no other runs; called by one thread at a time. Takes every thread where that is faster.
    Others may begin on the lanes meanwhile, all but the first, so it may be that one, and shares nothing with the rest that takes one
    pass at a time. Same pictures."""
    max_batch: int
    """The largest N that pays; more is taken, but helps nobody."""
    buckets: Sequence[int]
    """The batch sizes that a pass is padded to; empty where any N is as good."""
