"""Are they the pictures that were trained? Golden samples, the checks at load, and what a batch does to an image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import sessions
from benchmarks.gpu.part import Part
from service.errors import ContractError, EngineUnavailable
from service.generator import golden, trial
from service.generator.contract import Contract, parse
from service.generator.engine import Forward
from service.generator.engines.cuda import SIZES, buckets
from service.generator.engines.lone import inputs

_MATES = 16
_IMAGES = 8


def run(part: Part) -> None:
    largest = SIZES[-1] if part.card else 8
    for name, file in sessions.shipped().items():
        contract = parse(file)
        for precision in part.precisions:
            if part.has_time(f"{name} in {precision}", 1):
                _judge(part, name, file, contract, precision, largest)
    part.leave_out("bf16: ONNX has no convolution in it before opset 22, and the files are of opset 18")


def _judge(part: Part, name: str, file: bytes, contract: Contract, precision: str, largest: int) -> None:
    label = f"{name} in {precision}"
    try:
        engine = sessions.engine(part, file, contract, precision, largest)
        errors = golden.compare(contract, engine.wide)
        findings = trial.judge(file, contract, engine, largest)
    except (EngineUnavailable, ContractError) as error:
        part.check(label, False, str(error))
        return
    except Exception as error:  # whatever ONNX Runtime raises on a GPU
        part.check(label, False, f"{type(error).__name__}: {error}")
        return
    excess = errors.excess(precision) if errors else None
    if errors:
        told: dict[str, Any] = {"max": errors.max, "p99": errors.p99, "mean": errors.mean}
        part.row(f"golden samples of {label}, levels", samples=errors.samples, **told)
    part.check(label, excess is None, excess or f"golden samples hold; {findings}")
    for what, against in invariance(engine.wide, contract, largest).items():
        part.row(f"{what} of {label}, levels", **against)


def invariance(forward: Forward, contract: Contract, largest: int) -> dict[str, dict[str, Any]]:
    """How far an image is from itself alone: padded to another bucket, at another place, beside others."""
    z, label = inputs(contract, 0, _IMAGES)
    others, their_label = inputs(contract, 1000, 2 * _MATES)

    def draw(rows: NDArray[np.float32], labels: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        return forward(rows, labels)

    def beside(image: int, place: int, mates: int) -> NDArray[np.uint8]:
        """Image `image` at `place` among others, which begin with number `mates`."""
        rows = others[mates : mates + _MATES].copy()
        rows[place] = z[image]
        labels = None
        if label is not None and their_label is not None:
            labels = their_label[mates : mates + _MATES].copy()
            labels[place] = label[image]
        return draw(rows, labels)[place]

    alone = np.stack(
        [draw(z[i : i + 1], None if label is None else label[i : i + 1])[0] for i in range(_IMAGES)]
    )
    filled = {
        size: np.stack(
            [
                draw(z[i : i + 1].repeat(size, 0), None if label is None else label[i : i + 1].repeat(size))[
                    0
                ]
                for i in range(_IMAGES)
            ]
        )
        for size in buckets(largest)
    }
    first = np.stack([beside(i, 0, 0) for i in range(_IMAGES)])
    places = np.stack([[beside(i, place, 0) for i in range(_IMAGES)] for place in (1, 7, _MATES - 1)])
    mates = np.stack([beside(i, 0, _MATES) for i in range(_IMAGES)])
    return {
        "by bucket": {
            "max": {size: int(golden.difference(images, alone).max) for size, images in filled.items()},
            "pixels_changed": {size: float(np.mean(images != alone)) for size, images in filled.items()},
        },
        "by place": _levels(places.reshape(-1, *alone.shape[1:]), np.tile(first, (3, 1, 1, 1))),
        "by batch-mates": _levels(mates, first),
    }


def _levels(got: NDArray[np.uint8], want: NDArray[np.uint8]) -> Any:
    errors = golden.difference(got, want)
    return {"max": errors.max, "mean": errors.mean, "pixels_changed": float(np.mean(got != want))}
