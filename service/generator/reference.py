"""The same file by ONNX Runtime on CPU, which raises where others make things up: what a strange file is compared with."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import ContractError
from service.generator import golden
from service.generator.file.apart import taken_apart
from service.generator.file.session import session_of

_ANEW = "export it again, in float32"


class Drawn(NamedTuple):
    """images: uint8 [N, C, H, W]; fault: what was wrong with the levels before they became uint8, in words, or None."""

    images: NDArray[np.uint8]
    fault: str | None


Draw = Callable[[NDArray[np.float32], NDArray[np.int64] | None], Drawn]
"""z: float32 [N, z_dim]; label: int64 [N], or None. Raises ContractError: a label that the graph has no row for,
or whatever else makes ONNX Runtime refuse it."""


def reference(file: bytes) -> Draw:
    """Raises ContractError: ONNX Runtime can't read it."""
    apart = taken_apart(file)
    model = apart.model()
    before = _before_uint8(model.graph)
    if before is not None:
        model.graph.output.append(onnx.ValueInfoProto(name=before))
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    try:
        session = session_of(model.SerializeToString(), apart.weights, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen classes of its own
        raise _said(error) from error

    def draw(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> Drawn:
        try:
            images, *rest = session.run(None, {"z": z} if label is None else {"z": z, "label": label})
        except Exception as error:
            raise _said(error) from error
        assert isinstance(images, np.ndarray)
        return Drawn(images, next(filter(None, (_fault(np.asarray(levels)) for levels in rest)), None))

    return draw


class Batch(NamedTuple):
    """What an engine drew, and of what."""

    z: NDArray[np.float32]
    label: NDArray[np.int64] | None
    images: NDArray[np.uint8]


def compare(file: bytes, drawn: Sequence[Batch], engine: str, seconds: float) -> None:
    """Every class that was drawn: what a file is judged by that has no golden samples. seconds: after which no more are.

    Raises ContractError.
    """
    draw, begun = reference(file), time.monotonic()
    for number, (z, label, images) in enumerate(drawn):
        if number and time.monotonic() - begun > seconds:
            return
        want, fault = draw(z, label)
        if fault:
            raise ContractError(fault, _ANEW)
        errors = golden.difference(images, want)
        if errors.excess("bf16"):
            what = f"{engine} gives other images than ONNX Runtime on CPU, up to {errors.max:.0f} grey levels apart"
            raise ContractError(what, "try another GANSERVE_ENGINE or GANSERVE_PRECISION")


def _said(error: Exception) -> ContractError:
    return ContractError(f"ONNX Runtime on CPU, asked to compare, says: {error}", _ANEW)


def _fault(levels: NDArray) -> str | None:
    if not np.isfinite(levels).all():
        return "the graph computes NaN or infinity, and makes pixels of it"
    low, high = float(levels.min()), float(levels.max())
    if low <= -1 or high >= 256:
        return (
            f"the graph makes pixels of levels from {low:.4g} to {high:.4g}, of which each engine makes others: "
            "they must be clipped to 0 to 255 before they become uint8"
        )
    return None


def _before_uint8(graph: onnx.GraphProto) -> str | None:
    """The name of what is cast to become `image`; None where the graph ends otherwise."""
    maker = {name: node for node in graph.node for name in node.output}
    name = "image"
    while (node := maker.get(name)) is not None and node.input:
        if node.op_type == "Cast":
            return node.input[0]
        if node.op_type not in ("Identity", "Reshape", "Clip", "Transpose"):
            return None
        name = node.input[0]
    return None
