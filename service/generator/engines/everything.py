"""What comes beside the picture: an engine of its own whose passes give every output, judged against the one that draws."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import WRITE, ContractError
from service.generator import golden
from service.generator.contract import Contract
from service.generator.document import COUNTED_PIXELS
from service.generator.engine import Engine
from service.generator.engines.lone import inputs
from service.generator.file.outputs import GOLDEN_NUMBERS, IMAGE, Output

_IMAGES = 4
_SIZES = (1, 3)
_TOLERANCE = {"fp32": 1e-3}
_WITHOUT = (
    "export it again after model.eval(), or leave that output out (`ganserve import` without `--beside`)"
)
_TOLERANCE_OF_OTHERS = 0.1
"""Of the largest number of an output, or of 1: how far it may be from the same alone, and from a golden sample."""


@dataclass(frozen=True, slots=True)
class Everything:
    """One that can serve. engine: its passes give float32 [N, numbers]. pass_seconds: of max_batch images."""

    outputs: list[Output]
    engine: Engine
    max_batch: int
    pass_seconds: float
    is_golden: bool
    """Whether numbers beside the picture were compared with golden ones."""

    @property
    def numbers(self) -> int:
        return sum(one.size for one in self.outputs)

    @property
    def counts_as(self) -> int:
        """As ImageShape has it, by bytes: a pixel of a picture has three, and a number here four."""
        return -(-4 * self.numbers // (3 * COUNTED_PIXELS))

    def most_images(self, limit: int) -> int:
        """Of one request; limit: the server's."""
        return max(1, limit // self.counts_as)

    def apart(self, rows: NDArray[Any]) -> dict[str, NDArray]:
        """As `split`."""
        return split(rows, self.outputs)


def split(rows: NDArray[Any], outputs: Sequence[Output]) -> dict[str, NDArray]:
    """rows: float32 [N, sum of their sizes]. Returns each output by its name, [N, *shape]; the picture as uint8, by `image`."""
    found, begin = {}, 0
    for one in outputs:
        part = rows[:, begin : begin + one.size].reshape(len(rows), *one.shape)
        found[IMAGE if one.role == "image" else one.name] = (
            part.astype(np.uint8) if one.role == "image" else part
        )
        begin += one.size
    return found


def load(
    contract: Contract, beside: Engine, engine: Engine, max_batch: int, seconds: Callable[[Engine], float]
) -> Everything:
    """beside: the engine that draws. engine: one as `choose.again` makes it. seconds: of a pass of max_batch images.

    Raises ContractError: another shape than the contract's, no number, other pictures, or what depends on the others of a batch.
    """
    one = Everything(contract.given, engine, max_batch, math.inf, False)
    z, label = inputs(contract, 0, _IMAGES)
    images = beside.lanes[0](z, label)
    singly = [
        _drawn(one, engine.lanes[0], z[[i]], None if label is None else label[[i]]) for i in range(len(z))
    ]
    alone = {name: np.concatenate([drawn[name] for drawn in singly]) for name in singly[0]}
    _compare(one, alone, {IMAGE: images}, "the picture beside other outputs is another than alone")
    for forward in {id(forward): forward for forward in (engine.wide, *engine.lanes)}.values():
        for size in sorted({*_SIZES, max_batch}):
            rows = np.arange(size)[::-1] % _IMAGES
            got = _drawn(one, forward, z[rows], None if label is None else label[rows])
            want = {name: values[rows] for name, values in alone.items()}
            _compare(one, got, want, f"depends on the others of its batch, at {size} images")
    is_golden = engine.name != "fake" and _compare_golden(one, contract)
    return Everything(contract.given, engine, max_batch, seconds(engine), is_golden)


def golden_numbers(outputs: dict[str, NDArray], image: int) -> dict[str, list[float]]:
    """What a golden sample has of one image beside its picture. outputs: by name, [N, *shape], without the picture."""
    return {
        name: values[image].reshape(-1)[:GOLDEN_NUMBERS].astype(float).tolist()
        for name, values in outputs.items()
    }


def _drawn(
    one: Everything,
    forward: Callable[..., NDArray],
    z: NDArray[np.float32],
    label: NDArray[np.int64] | None,
) -> dict[str, NDArray]:
    rows = forward(z, label)
    if rows.shape != (want := (len(z), one.numbers)) or rows.dtype != np.float32:
        raise ContractError(f"all outputs together are {rows.dtype} {rows.shape}, not float32 {want}", WRITE)
    found = one.apart(rows)
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise ContractError(f"the output {name} has NaN or infinity", _WITHOUT)
    return found


def _compare(
    one: Everything, got: dict[str, NDArray], want: dict[str, NDArray], what: str, of: str = "the output"
) -> None:
    """Raises ContractError where one of `want` is further away than rounding explains."""
    share = _TOLERANCE.get(one.engine.precision, _TOLERANCE_OF_OTHERS)
    for name, values in want.items():
        if name == IMAGE:
            if excess := golden.difference(got[name], values).excess(one.engine.precision):
                raise ContractError(f"{of} {name} {what}: {excess}", _WITHOUT)
            continue
        apart = np.abs(got[name] - values).max()
        if not apart <= share * max(1.0, float(np.abs(values).max())):
            raise ContractError(f"{of} {name} {what}: by up to {apart:.3g}", _WITHOUT)


def _compare_golden(one: Everything, contract: Contract) -> bool:
    """Whether there was anything to compare. Raises ContractError."""
    samples = [sample for sample in contract.golden if sample.beside]
    if not samples:
        return False
    label = None if contract.classes is None else np.array([sample.label for sample in samples], np.int64)
    found = _drawn(one, one.engine.wide, contract.rows([sample.seed for sample in samples]), label)
    for i, sample in enumerate(samples):
        for name, numbers in sample.beside.items():
            got = found[name][i].reshape(-1)[: len(numbers)]
            _compare(one, {name: got}, {name: np.array(numbers)}, "is another than the golden sample's")
    return True
