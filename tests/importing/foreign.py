"""Generators as others export them, with random weights: a few nodes each, in the forms that frameworks give them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

Node = tuple[str, list[str], dict[str, Any]]
"""Operator, inputs, attributes."""


def weights(*shape: int, seed: int = 0, scale: float = 0.3) -> NDArray[np.float32]:
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(np.float32)


def model(
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    nodes: Sequence[tuple[str, str, Node]],
    output: tuple[str, int, Sequence[int | str]],
    tensors: Mapping[str, NDArray],
    opset: int = 17,
) -> onnx.ModelProto:
    """inputs: element type and axes by name. nodes: (what it makes, its name, the node)."""
    made = [
        h.make_node(op, given, [name], name=title, **attributes)
        for name, title, (op, given, attributes) in nodes
    ]
    graph = h.make_graph(
        made,
        "foreign",
        [h.make_tensor_value_info(name, element, axes) for name, (element, axes) in inputs.items()],
        [h.make_tensor_value_info(*output)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8)


def upsampling(start: str, channels: int, end: str = "Tanh") -> list[tuple[str, str, Node]]:
    """From [N, 8, 4, 4] to [N, channels, 16, 16] in the tensor `image`."""
    twice = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    return [
        ("up1", "", ("ConvTranspose", [start, "w1"], twice)),
        ("up1_", "", ("Relu", ["up1"], {})),
        ("up2", "", ("ConvTranspose", ["up1_", "w2"], twice)),
        ("image", "", (end, ["up2"], {})),
    ]


def upsampling_weights(channels: int) -> dict[str, NDArray]:
    return {"w1": weights(8, 8, 4, 4), "w2": weights(8, channels, 4, 4)}


def dcgan(
    batch: int | str = "batch_size", opset: int = 11, sides: Sequence[int | str] = (16, 16), channels: int = 3
) -> onnx.ModelProto:
    """As PyTorch's example has it: z of [N, 100, 1, 1]."""
    nodes = [("first", "", ("ConvTranspose", ["input", "w0"], {})), ("first_", "", ("Relu", ["first"], {}))]
    tensors = {"w0": weights(100, 8, 4, 4), **upsampling_weights(channels)}
    output = ("image", T.FLOAT, [batch, channels, *sides])
    return model(
        {"input": (T.FLOAT, [batch, 100, 1, 1])},
        [*nodes, *upsampling("first_", channels)],
        output,
        tensors,
        opset,
    )


def reshaping(batch: int, z_dim: int = 16) -> onnx.ModelProto:
    """A linear layer, and a reshape to a batch that was written down when it was exported."""
    nodes = [
        ("flat", "", ("MatMul", ["z", "w0"], {})),
        ("maps", "", ("Reshape", ["flat", "shape"], {})),
    ]
    tensors = {
        "w0": weights(z_dim, 128),
        "shape": np.array([batch, 8, 4, 4]),
        **upsampling_weights(1),
    }
    output = ("image", T.FLOAT, [batch, 1, 16, 16])
    return model({"z": (T.FLOAT, [batch, z_dim])}, [*nodes, *upsampling("maps", 1)], output, tensors)


def modulated(batch: int) -> onnx.ModelProto:
    """As StyleGAN2's convolutions: each image has its own kernels, and the images of a batch are its groups."""
    nodes = [
        ("style", "", ("MatMul", ["z", "w_style"], {})),
        ("styles", "", ("Reshape", ["style", "style_shape"], {})),
        ("kernels", "", ("Mul", ["styles", "w_conv"], {})),
        ("grouped", "", ("Reshape", ["kernels", "kernel_shape"], {})),
        ("repeated", "", ("Expand", ["const", "const_batch"], {})),
        ("side_by_side", "", ("Reshape", ["repeated", "maps_shape"], {})),
        ("convolved", "", ("Conv", ["side_by_side", "grouped"], {"group": batch, "pads": [1, 1, 1, 1]})),
        ("pictures", "", ("Reshape", ["convolved", "image_shape"], {})),
        ("img", "", ("Tanh", ["pictures"], {})),
    ]
    tensors = {
        "w_style": weights(16, 4),
        "style_shape": np.array([batch, 1, 4, 1, 1]),
        "w_conv": weights(1, 3, 4, 3, 3),
        "kernel_shape": np.array([batch * 3, 4, 3, 3]),
        "const": weights(1, 4, 8, 8, scale=1),
        "const_batch": np.array([batch, 4, 8, 8]),
        "maps_shape": np.array([1, batch * 4, 8, 8]),
        "image_shape": np.array([batch, 3, 8, 8]),
    }
    return model({"z": (T.FLOAT, [batch, 16])}, nodes, ("img", T.FLOAT, [batch, 3, 8, 8]), tensors)


def conditional_dcgan() -> onnx.ModelProto:
    """Its labels are rows of floats, of [N, 5, 1, 1]."""
    nodes = [
        ("both", "", ("Concat", ["noise", "labels"], {"axis": 1})),
        ("first", "", ("ConvTranspose", ["both", "w0"], {})),
        ("first_", "", ("Relu", ["first"], {})),
    ]
    inputs = {"noise": (T.FLOAT, ["N", 32, 1, 1]), "labels": (T.FLOAT, ["N", 5, 1, 1])}
    tensors = {"w0": weights(37, 8, 4, 4), **upsampling_weights(3)}
    return model(inputs, [*nodes, *upsampling("first_", 3)], ("image", T.FLOAT, ["N", 3, 16, 16]), tensors)


def biggan() -> onnx.ModelProto:
    """z, a one-hot class, and the truncation as an input of its own."""
    nodes = [
        ("embedded", "", ("MatMul", ["class_vector", "embedding"], {})),
        ("both", "", ("Concat", ["z", "embedded"], {"axis": 1})),
        ("scaled", "", ("Mul", ["both", "truncation"], {})),
        ("flat", "", ("MatMul", ["scaled", "w0"], {})),
        ("maps", "", ("Reshape", ["flat", "shape"], {})),
    ]
    inputs = {
        "z": (T.FLOAT, ["batch", 16]),
        "class_vector": (T.FLOAT, ["batch", 7]),
        "truncation": (T.FLOAT, [1]),
    }
    tensors = {
        "embedding": weights(7, 8, scale=2),
        "w0": weights(24, 128),
        "shape": np.array([-1, 8, 4, 4]),
        **upsampling_weights(3),
    }
    return model(inputs, [*nodes, *upsampling("maps", 3)], ("image", T.FLOAT, ["batch", 3, 16, 16]), tensors)


def keras() -> onnx.ModelProto:
    """Channels last, in 0 to 1, with an int32 label of [N, 1]: as tf2onnx writes a model of Keras."""
    nodes = [
        ("row", "", ("Gather", ["embedding", "input_2"], {})),
        ("flat_row", "", ("Reshape", ["row", "row_shape"], {})),
        ("moved", "", ("Add", ["input_1", "flat_row"], {})),
        ("flat", "", ("MatMul", ["moved", "w0"], {})),
        ("maps", "", ("Reshape", ["flat", "shape"], {})),
        *upsampling("maps", 1, end="Sigmoid"),
        ("conv2d", "", ("Transpose", ["image"], {"perm": [0, 2, 3, 1]})),
    ]
    inputs = {"input_1": (T.FLOAT, ["unk__1", 16]), "input_2": (T.INT32, ["unk__1", 1])}
    tensors = {
        "embedding": weights(4, 16, scale=2),
        "row_shape": np.array([-1, 16]),
        "w0": weights(16, 128),
        "shape": np.array([-1, 8, 4, 4]),
        **upsampling_weights(1),
    }
    return model(inputs, nodes, ("conv2d", T.FLOAT, ["unk__1", 16, 16, 1]), tensors)


def as_uint8(channels: int = 3) -> onnx.ModelProto:
    """Whole levels, as pixels."""
    one = dcgan(channels=channels)
    tail = [
        ("Add", ["image", "one"], {}),
        ("Mul", ["grown", "half"], {}),
        ("Transpose", ["levels"], {"perm": [0, 2, 3, 1]}),
        ("Cast", ["pixels"], {"to": T.UINT8}),
    ]
    names = ["grown", "levels", "pixels", "bytes"]
    one.graph.node.extend(
        h.make_node(op, given, [name], **rest) for (op, given, rest), name in zip(tail, names, strict=True)
    )
    one.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("one", 1), ("half", 127.5))
    )
    del one.graph.output[:]
    one.graph.output.append(h.make_tensor_value_info("bytes", T.UINT8, ["N", 16, 16, channels]))
    return one


def stylegan() -> onnx.ModelProto:
    """z is brought to one length, labels are rows of no numbers, and the styles come out beside RGBA images."""
    nodes = [
        ("length", "", ("ReduceL2", ["z"], {"axes": [1]})),
        ("unit", "", ("Div", ["z", "length"], {})),
        ("both", "", ("Concat", ["unit", "c"], {"axis": 1})),
        ("ws", "", ("MatMul", ["both", "w0"], {})),
        ("maps", "", ("Reshape", ["ws", "shape"], {})),
    ]
    tensors = {
        "w0": weights(16, 128, scale=2),
        "shape": np.array([-1, 8, 4, 4]),
        **upsampling_weights(4),
    }
    inputs = {"z": (T.FLOAT, ["N", 16]), "c": (T.FLOAT, ["N", 0])}
    one = model(inputs, [*nodes, *upsampling("maps", 4)], ("image", T.FLOAT, ["N", 4, 16, 16]), tensors)
    one.graph.output.insert(0, h.make_tensor_value_info("ws", T.FLOAT, ["N", 128]))
    return one


def from_noise_image() -> onnx.ModelProto:
    """In half precision, from a picture of noise."""
    nodes = [("maps", "", ("Conv", ["noise", "w0"], {"pads": [1, 1, 1, 1]})), *upsampling("maps", 1)]
    tensors = {"w0": weights(8, 1, 3, 3, scale=1), **upsampling_weights(1)}
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    output = ("image", T.FLOAT16, ["N", 1, 16, 16])
    return model({"noise": (T.FLOAT16, ["N", 1, 4, 4])}, nodes, output, halves)


def noisy(operator: str = "RandomNormalLike") -> onnx.ModelProto:
    """Noise on its maps, as StyleGAN has it."""
    draws: Node = (operator, ["maps"], {"scale": 2.0, "mean": 0.5})
    if operator == "RandomUniform":
        draws = (operator, [], {"shape": [1, 1, 4, 4], "low": -3.0, "high": 1.0})
    nodes = [
        ("flat", "", ("MatMul", ["z", "w0"], {})),
        ("maps", "", ("Reshape", ["flat", "shape"], {})),
        ("drawn", "to_noise", draws),
        ("noisy", "", ("Add", ["maps", "drawn"], {})),
    ]
    tensors = {"w0": weights(16, 128), "shape": np.array([-1, 8, 4, 4]), **upsampling_weights(1)}
    return model(
        {"z": (T.FLOAT, ["N", 16])},
        [*nodes, *upsampling("noisy", 1)],
        ("image", T.FLOAT, ["N", 1, 16, 16]),
        tensors,
    )


def save(one: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(one.SerializeToString())
    return path
