"""The models that are served: the shipped one, and two with random weights, made here without torch.

python -m benchmarks.models FOLDER NAME...    writes FOLDER/NAME/NAME/generator.onnx
"""

import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract
from service.generator.contract import Contract, ImageShape

SHIPPED = "fashion-mnist"
MODELS = {
    SHIPPED: "the shipped model",
    "large": "64x64x3, 9M parameters, random weights",
    "instant": "32x32x1, next to no arithmetic: as if on a fast accelerator",
}
_Z_DIM = 128
_CLASSES = 10
_LABEL_DIM = 64


class Graph:
    """A graph under construction: every call adds a node or weight and returns its name."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(h.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, value: NDArray) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def uniform(self, fan_in: int, *shape: int) -> str:
        """Uniform up to 1 / sqrt(fan_in), as PyTorch initialises convolutions and linear layers."""
        bound = fan_in**-0.5
        return self.weight(self.rng.uniform(-bound, bound, shape).astype(np.float32))

    def convolution(self, x: str, inputs: int, outputs: int, kernel: int) -> str:
        fan_in = inputs * kernel * kernel
        weight = self.uniform(fan_in, outputs, inputs, kernel, kernel)
        return self.node("Conv", x, weight, self.uniform(fan_in, outputs), pads=[kernel // 2] * 4)

    def class_norm_relu(self, x: str, channels: int) -> str:
        """A batch norm conditioned on the label, folded to one scale and one shift a class and channel."""
        shape = (_CLASSES, channels, 1, 1)
        scale = self.weight((1 + 0.2 * self.rng.standard_normal(shape)).astype(np.float32))
        shift = self.weight((0.2 * self.rng.standard_normal(shape)).astype(np.float32))
        scaled = self.node("Mul", x, self.node("Gather", scale, "label"))
        return self.node("Relu", self.node("Add", scaled, self.node("Gather", shift, "label")))

    def double(self, x: str) -> str:
        """Nearest-neighbour upsampling to twice the height and width."""
        scales = self.weight(np.array([1, 1, 2, 2], np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", x, "", scales, **how)

    def pixels(self, x: str) -> None:
        """float in about -1 to 1 -> the output, uint8."""
        half = self.weight(np.array(127.5, np.float32))
        levels = self.node("Round", self.node("Add", self.node("Mul", self.node("Tanh", x), half), half))
        self.node("Cast", levels, output="image", to=T.UINT8)

    def file(self, name: str, image: ImageShape) -> bytes:
        """The ONNX file, with the contract's metadata. Without golden samples: nobody trained this."""
        shape = ["N", image.channels, image.height, image.width]
        graph = h.make_graph(
            self.nodes,
            name,
            [
                h.make_tensor_value_info("z", T.FLOAT, ["N", _Z_DIM]),
                h.make_tensor_value_info("label", T.INT64, ["N"]),
            ],
            [h.make_tensor_value_info("image", T.UINT8, shape)],
            self.weights,
        )
        model = h.make_model(
            graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
        )
        onnx.checker.check_model(model)
        classes = [f"class {k}" for k in range(_CLASSES)]
        return contract.write(model, Contract(contract.SCHEMA, name, _Z_DIM, classes, image))


def large(channels: tuple[int, ...] = (512, 512, 256, 128, 64)) -> bytes:
    """A residual generator of DCGAN's size: 4x4, doubled once for each further entry of `channels`; RGB."""
    g = Graph()
    embedded = g.node("Gather", g.uniform(1, _CLASSES, _LABEL_DIM), "label")
    inputs = _Z_DIM + _LABEL_DIM
    units = channels[0] * 16
    x = g.node(
        "Gemm",
        g.node("Concat", "z", embedded, axis=1),
        g.uniform(inputs, inputs, units),
        g.uniform(inputs, units),
    )
    x = g.node("Reshape", x, g.weight(np.array([-1, channels[0], 4, 4])))
    for before, after in pairwise(channels):
        hidden = g.convolution(g.double(g.class_norm_relu(x, before)), before, after, 3)
        hidden = g.convolution(g.class_norm_relu(hidden, after), after, after, 3)
        x = g.node("Add", hidden, g.double(g.convolution(x, before, after, 1)))
    x = g.convolution(g.class_norm_relu(x, channels[-1]), channels[-1], 3, 3)
    g.pixels(g.node("Mul", x, g.weight(np.array(4, np.float32))))
    side = 4 << (len(channels) - 1)
    return g.file("large", ImageShape(3, side, side))


def instant() -> bytes:
    """One matrix product and tanh: what is left to measure is everything around the forward pass."""
    g = Graph()
    conditioned = g.node("Add", "z", g.node("Gather", g.uniform(1, _CLASSES, _Z_DIM), "label"))
    x = g.node("Gemm", conditioned, g.uniform(_Z_DIM, _Z_DIM, 1024), g.uniform(_Z_DIM, 1024))
    g.pixels(g.node("Reshape", x, g.weight(np.array([-1, 1, 32, 32]))))
    return g.file("instant", ImageShape(1, 32, 32))


def slow(layers: int) -> bytes:
    """512x512x3: convolutions of 16 channels at full size, so many that a pass takes as long as is wanted."""
    g, channels, small = Graph(), 16, 8
    conditioned = g.node("Add", "z", g.node("Gather", g.uniform(1, _CLASSES, _Z_DIM), "label"))
    units = channels * small**2
    x = g.node("Gemm", conditioned, g.uniform(_Z_DIM, _Z_DIM, units), g.uniform(_Z_DIM, units))
    x = g.node("Reshape", x, g.weight(np.array([-1, channels, small, small])))
    x = g.node("Resize", x, "", g.weight(np.array([1, 1, 64, 64], np.float32)), mode="linear")
    for _ in range(layers):
        convolved = g.convolution(x, channels, channels, 3)
        x = g.node("Add", x, g.node("Relu", convolved))
    g.pixels(g.convolution(x, channels, 3, 3))
    return g.file("slow", ImageShape(3, 64 * small, 64 * small))


def write(name: str, folder: Path) -> Path:
    """Put the model `name` alone under a models folder. Returns its file."""
    makers: dict[str, Callable[[], bytes]] = {"large": large, "instant": instant}
    path = folder / name / name / "generator.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in makers:
        path.write_bytes(makers[name]())
    else:
        shutil.copyfile(Path("models") / name / "generator.onnx", path)
    return path


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(name, Path(sys.argv[1]))
