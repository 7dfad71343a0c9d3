"""The same file by ONNX Runtime on CPU, which raises where others make things up: what a strange file is compared with."""

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import ContractError
from service.generator.file.apart import taken_apart
from service.generator.file.session import session_of


def draw(
    file: bytes, z: NDArray[np.float32], label: NDArray[np.int64] | None
) -> tuple[NDArray[np.uint8], bool]:
    """The images, uint8 [N, C, H, W]; and whether all was finite before it became uint8.

    z: float32 [N, z_dim]; label: int64 [N], or None. Raises ContractError: a label that the graph has no row for,
    or whatever else makes ONNX Runtime refuse it.
    """
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
        images, *rest = session.run(None, {"z": z} if label is None else {"z": z, "label": label})
    except Exception as error:  # onnxruntime raises a dozen classes of its own
        raise ContractError(f"ONNX Runtime on CPU, asked to compare, says: {error}") from error
    assert isinstance(images, np.ndarray)
    return images, all(bool(np.isfinite(np.asarray(levels)).all()) for levels in rest)


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
