"""The same graph in half precision: weights and products in float16, z and the last steps to uint8 in float32."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, shape_inference

_PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# What the levels 0 to 255 are computed with: float16 has a step of 1/8 there.
_LEVELS = {
    *("Cast", "Clip", "Round", "Mul", "Add", "Sub", "Div", "Tanh", "Sigmoid"),
    *("Identity", "Reshape", "Slice", "Transpose"),
}


def convert(file: bytes) -> bytes:
    """The generator `file` with float16 inside; its inputs, its output and its metadata stay as they are."""
    # Heavy to import, and appends a folder to sys.path.
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = shape_inference.infer_shapes(onnx.load_model_from_string(file))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    _round_weights(model.graph)
    model = convert_float_to_float16(
        model,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[name for name in DEFAULT_OP_BLOCK_LIST if name not in ("Resize", "Upsample")],
        node_block_list=_to_levels(model.graph),
    )
    return model.SerializeToString()


def _round_weights(graph: onnx.GraphProto) -> None:
    """The factors of products: the converter takes seconds for what NumPy does at once, where they are large."""
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    for tensor in graph.initializer:
        is_factor = readers.get(tensor.name, {""}) <= _PRODUCTS
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and is_factor:
            most = np.finfo(np.float16).max
            values = numpy_helper.to_array(tensor).clip(-most, most)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))


def _to_levels(graph: onnx.GraphProto) -> list[str]:
    """The nodes, by name, that end in `image` and change each pixel by itself."""
    maker = {name: node for node in graph.node for name in node.output}
    names, node = [], maker.get("image")
    while node is not None and node.op_type in _LEVELS:
        names.append(node.name)
        node = next((maker[name] for name in node.input if name in maker), None)
    return names
