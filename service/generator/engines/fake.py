"""Deterministic pictures without a model: for tests, and for rehearsing overload and failure.

The first pixel rows hold the bytes of z, and the last pixel the label, so that a swapped answer shows.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.generator.contract import Contract
from service.generator.engine import Forward


class FakeEngine:
    """Takes `pass_seconds` a pass; raises where a label is `fail_on`; waits at `gate` if there is one.

    faults: a file that tells each pass, if it is there, to `fail`, to `hang`, or how many seconds to take.
    """

    name = "fake"
    on_caller = False
    provider = "none"
    precision = "fp32"
    reason = "fake: pictures made of z and label, as configured; no generator runs."

    def __init__(
        self,
        contract: Contract,
        *,
        lanes: int = 1,
        max_batch: int = 8,
        pass_seconds: float = 0.0,
        fail_on: int | None = None,
        faults: Path | None = None,
        gate: threading.Event | None = None,
        on_pass: Callable[[int], None] | None = None,
        everything: bool = False,
    ) -> None:
        """everything: a pass gives all outputs in a row of numbers, as of a file that is rewired so."""
        self.max_batch = max_batch
        # As on an accelerator, so that no pass runs on the event loop, which may be what opens the gate.
        self.buckets: Sequence[int] = (max_batch,) if gate else ()
        self._shape = (contract.image.channels, contract.image.height, contract.image.width)
        self._pass_seconds = pass_seconds
        self.fail_on = fail_on
        self._faults = faults
        self._gate = gate
        self._on_pass = on_pass
        self._outputs = contract.given if everything else None
        self.wide = self._forward
        self.lanes: Sequence[Forward] = [self._forward] * lanes

    def _forward(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[Any]:
        if self._on_pass:
            self._on_pass(len(z))
        if self._gate:
            self._gate.wait()
        time.sleep(self._pass_seconds)
        if self._faults:
            _obey(self._faults)
        if self.fail_on is not None and label is not None and self.fail_on in label:
            raise RuntimeError(f"the fake engine fails on label {self.fail_on}")
        images = paint(z, label, self._shape)
        if self._outputs is None:
            return images
        made = [
            images.reshape(len(z), -1) if one.role == "image" else np.resize(z.T, (one.size, len(z))).T
            for one in self._outputs
        ]
        return np.concatenate(made, axis=1).astype(np.float32)


def _obey(faults: Path) -> None:
    try:
        order = faults.read_text().strip()
    except FileNotFoundError:
        return
    if order == "fail":
        raise RuntimeError("the fake engine was told to fail")
    if order == "hang":
        threading.Event().wait()
    time.sleep(float(order or 0))


def paint(
    z: NDArray[np.float32], label: NDArray[np.int64] | None, shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """The fake engine's images: z's bytes repeated, the last pixel the label. Returns uint8 [N, *shape]."""
    size = int(np.prod(shape))
    bytes_of_z = np.ascontiguousarray(z).view(np.uint8)
    repeats = -(-size // bytes_of_z.shape[1])
    images = np.tile(bytes_of_z, (1, repeats))[:, :size].copy()
    if label is not None:
        images[:, -1] = label
    return images.reshape(len(z), *shape)
