import onnx
from onnx import TensorProto, helper

from training.export.onnx_graph import multiply_adds


def weight(name: str, *shape: int) -> onnx.TensorProto:
    size = 1
    for axis in shape:
        size *= axis
    return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * size)


def test_multiply_adds_are_counted_for_one_image():
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "conv"], ["h"], pads=[1, 1, 1, 1]),
            helper.make_node("ConvTranspose", ["h", "transposed"], ["u"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("ReduceMean", ["u"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Gemm", ["mean", "linear"], ["y"]),
        ],
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 7])],
        [weight("conv", 5, 3, 3, 3), weight("transposed", 5, 2, 4, 4), weight("linear", 2, 7)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    assert multiply_adds(model) == 5 * 8 * 8 * 3 * 9 + 5 * 8 * 8 * 2 * 16 + 2 * 7
