"""Generators that keep the contract's form and break its meaning, each in one way: as strangers export them."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator.contract import Contract, ImageShape
from tests.generators import with_metadata

CLASSES = 5
_Z = 8
_PIXELS = 64
_TO_UINT8 = [
    h.make_node("Tanh", ["pixels"], ["unit"]),
    h.make_node("Mul", ["unit", "half"], ["levels"]),
    h.make_node("Add", ["levels", "half"], ["positive"]),
    h.make_node("Round", ["positive"], ["whole"]),
    h.make_node("Reshape", ["whole", "shape"], ["maps"]),
    h.make_node("Cast", ["maps"], ["image"], to=T.UINT8),
]


def file(
    nodes: Sequence[onnx.NodeProto] = (),
    *,
    z: str = "z",
    label: str = "label",
    hidden: str = "conditioned",
    rows: int = CLASSES,
    classes: int = CLASSES,
    functions: Sequence[onnx.FunctionProto] = (),
    ending: Sequence[onnx.NodeProto] = _TO_UINT8,
    **weights: object,
) -> bytes:
    """z @ linear + embedding[label], tanh, to levels; of the contract, and without golden samples.

    nodes: further ones. z, label, hidden: names of what is used in the place of z, label and `conditioned`, the sum.
    weights: further ones, or others.
    """
    random = np.random.default_rng(0)
    tensors = {
        "linear": random.normal(size=(_Z, _PIXELS)).astype(np.float32) / 2,
        "embedding": random.normal(size=(rows, _PIXELS)).astype(np.float32),
        "half": np.array(127.5, np.float32),
        "shape": np.array([-1, 1, 8, 8]),
    } | {name: np.asarray(value) for name, value in weights.items()}
    # Whatever comes of the sum comes after it.
    of_sum, early, late = {"conditioned"}, [], []
    for node in nodes:
        inner = {name for one in node.attribute for part in one.g.node for name in part.input}
        if of_sum.isdisjoint({*node.input} | inner):
            early.append(node)
        else:
            late.append(node)
            of_sum |= {*node.output}
    graph = h.make_graph(
        [
            *early,
            h.make_node("MatMul", [z, "linear"], ["projected"]),
            h.make_node("Gather", ["embedding", label], ["class"]),
            h.make_node("Add", ["projected", "class"], ["conditioned"]),
            *late,
            h.make_node("Identity", [hidden], ["pixels"]),
            *ending,
        ],
        "hostile",
        [
            h.make_tensor_value_info("z", T.FLOAT, ["N", _Z]),
            h.make_tensor_value_info("label", T.INT64, ["N"]),
        ],
        [h.make_tensor_value_info("image", T.UINT8, ["N", 1, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=10, functions=[*functions])
    names = [f"class {i}" for i in range(classes)]
    contract = Contract(schema=1, name="hostile", z_dim=_Z, classes=names, image=ImageShape(1, 8, 8))
    return with_metadata(msgspec.json.encode(contract).decode(), model)


def _noise(**attributes: Any) -> list[onnx.NodeProto]:
    return [
        h.make_node("RandomNormalLike", ["conditioned"], ["noise"], **attributes),
        h.make_node("Add", ["noise", "conditioned"], ["noisy"]),
    ]


def _noise_in_if() -> list[onnx.NodeProto]:
    def branch(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        return h.make_graph(nodes, name, [], [h.make_tensor_value_info(name, T.FLOAT, None)])

    drawn = branch("drawn", [h.make_node("RandomNormalLike", ["conditioned"], ["drawn"])])
    kept = branch("kept", [h.make_node("Identity", ["conditioned"], ["kept"])])
    total = h.make_node("ReduceSum", ["conditioned"], ["total"], keepdims=0)
    decide = h.make_node("Less", ["total", "much"], ["few"])
    return [total, decide, h.make_node("If", ["few"], ["noisy"], then_branch=drawn, else_branch=kept)]


def _noise_in_function() -> bytes:
    nodes = [
        h.make_node("RandomNormalLike", ["x"], ["noise"]),
        h.make_node("Add", ["x", "noise"], ["y"]),
    ]
    # Of ONNX's own domain: a function of another is refused for its domain.
    function = h.make_function("", "Jitter", ["x"], ["y"], nodes, [h.make_opsetid("", 18)])
    return file([h.make_node("Jitter", ["conditioned"], ["noisy"])], functions=[function], hidden="noisy")


def _dropout(training: str) -> bytes:
    nodes = [h.make_node("Dropout", ["conditioned", "ratio", training], ["dropped"])]
    constant = h.make_node("Constant", [], ["by_node"], value=numpy_helper.from_array(np.array(True)))
    return file(
        [constant, *nodes], hidden="dropped", ratio=np.array(0.5, np.float32), by_weight=np.array(True)
    )


def _over_the_batch(operator: str) -> bytes:
    nodes = [
        h.make_node(operator, ["conditioned", "batch_axis"], ["over"], keepdims=1),
        h.make_node("Sub", ["conditioned", "over"], ["centred"]),
        h.make_node("Add", ["centred", "one"], ["moved"]),
    ]
    return file(nodes, hidden="moved", batch_axis=np.array([0]), one=np.array(1, np.float32))


def _batch_norm() -> bytes:
    ones, zeros = np.ones(_PIXELS, np.float32), np.zeros(_PIXELS, np.float32)
    inputs = ["conditioned", "scale", "shift", "mean", "variance"]
    node = h.make_node("BatchNormalization", inputs, ["normal", "new_mean", "new_variance"], training_mode=1)
    return file([node], hidden="normal", scale=ones, shift=zeros, mean=zeros, variance=ones)


def _by_place() -> bytes:
    nodes = [
        h.make_node("Mul", ["conditioned", "zero"], ["zeros"]),
        h.make_node("Add", ["zeros", "step"], ["steps"]),
        h.make_node("CumSum", ["steps", "axis"], ["place"]),
        h.make_node("Add", ["place", "conditioned"], ["moved"]),
    ]
    zero, step = np.array(0, np.float32), np.array(0.1, np.float32)
    return file(nodes, hidden="moved", zero=zero, step=step, axis=np.array(0))


def _z_ignored() -> bytes:
    return file([h.make_node("Mul", ["z", "zero"], ["gone"])], z="gone", zero=np.array(0, np.float32))


def _one_colour() -> bytes:
    # Of z, but the same in every pixel.
    node = h.make_node("ReduceMean", ["conditioned", "pixel_axis"], ["mean"], keepdims=1)
    spread = h.make_node("Add", ["mean", "zeros"], ["flat"])
    zeros = np.zeros(_PIXELS, np.float32)
    return file([node, spread], hidden="flat", pixel_axis=np.array([1]), zeros=zeros)


def _not_finite() -> bytes:
    # 0 * inf: NaN, though no weight is.
    node = h.make_node("Mul", ["conditioned", "mask"], ["masked"])
    tanh_keeps_nan = np.where(np.arange(_PIXELS) % 2, 1, np.inf).astype(np.float32)
    minus = h.make_node("Sub", ["masked", "masked"], ["nothing"])
    back = h.make_node("Add", ["nothing", "conditioned"], ["broken"])
    return file([node, minus, back], hidden="broken", mask=tanh_keeps_nan)


def _size_changes() -> bytes:
    """8x8, and at n=3 only 8x4: as a Reshape does whose shape was worked out from the batch."""
    ending = [
        *_TO_UINT8[:4],
        h.make_node("Shape", ["z"], ["z_shape"]),
        h.make_node("Gather", ["z_shape", "first"], ["n"]),
        h.make_node("Equal", ["n", "three"], ["is_three"]),
        h.make_node("Where", ["is_three", "narrow", "shape"], ["this_shape"]),
        h.make_node("Reshape", ["whole", "this_shape"], ["maps"]),
        h.make_node("Cast", ["maps"], ["image"], to=T.UINT8),
    ]
    return file(
        ending=ending,
        first=np.array([0]),
        three=np.array([3]),
        narrow=np.array([-1, 1, 8, 4]),
    )


def _label_scaled() -> bytes:
    return file([h.make_node("Mul", ["label", "two"], ["twice"])], label="twice", two=np.array(2))


def _one_hot() -> bytes:
    nodes = [
        h.make_node("OneHot", ["label", "depth", "off_on"], ["hot"], axis=-1),
        h.make_node("MatMul", ["hot", "hot_rows"], ["hot_class"]),
        h.make_node("Add", ["conditioned", "hot_class"], ["hotter"]),
    ]
    hot_rows = np.random.default_rng(1).normal(size=(CLASSES - 1, _PIXELS)).astype(np.float32)
    off_on = np.array([0, 1], np.float32)
    return file(nodes, hidden="hotter", depth=np.array(CLASSES - 1), off_on=off_on, hot_rows=hot_rows)


def _through_shapes() -> bytes:
    nodes = [
        h.make_node("Cast", ["label"], ["short"], to=T.INT32),
        h.make_node("Unsqueeze", ["short", "axes"], ["column"]),
        h.make_node("Squeeze", ["column", "axes"], ["row"]),
        h.make_node("Identity", ["row"], ["same"]),
    ]
    return file(nodes, label="same", rows=CLASSES - 1, axes=np.array([1]))


def normalised() -> bytes:
    """z is brought to one length first, as StyleGAN does it: a generator like others, without truncation."""
    nodes = [
        h.make_node("ReduceL2", ["z", "unit_axis"], ["length"], keepdims=1),
        h.make_node("Div", ["z", "length"], ["direction"]),
        h.make_node("Mul", ["direction", "typical"], ["sphere"]),
    ]
    return file(nodes, z="sphere", unit_axis=np.array([1]), typical=np.array(np.sqrt(_Z), np.float32))


def _nan_weights() -> bytes:
    weights = np.random.default_rng(0).normal(size=(_Z, _PIXELS)).astype(np.float32)
    weights[3, 5] = np.nan
    return file(linear=weights)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "noise": (lambda: file(_noise(), hidden="noisy"), "draws random numbers, by RandomNormalLike"),
    "noise with a seed": (lambda: file(_noise(seed=7.0), hidden="noisy"), "draws random numbers"),
    "noise in a branch": (
        lambda: file(_noise_in_if(), hidden="noisy", much=np.array(1e30, np.float32)),
        "draws random numbers",
    ),
    "noise in a function": (_noise_in_function, "draws random numbers"),
    "dropout by a weight": (lambda: _dropout("by_weight"), "dropout is left on"),
    "dropout by a node": (lambda: _dropout("by_node"), "dropout is left on"),
    "mean over the batch": (lambda: _over_the_batch("ReduceMean"), "depends on the others of its batch"),
    "maximum over the batch": (lambda: _over_the_batch("ReduceMax"), "depends on the others of its batch"),
    "batch norm in training": (_batch_norm, "batch norm is left in training"),
    "another picture at another place": (_by_place, "depends on its place in the batch"),
    "z ignored": (_z_ignored, "z changes nothing"),
    "one colour": (_one_colour, "every image is of one colour"),
    "weights that are NaN": (_nan_weights, "weights 'linear' hold NaN"),
    "NaN from infinity": (_not_finite, "NaN or infinity"),
    "an embedding too short": (lambda: file(rows=CLASSES - 1), "5 classes, and Gather looks them up in 4"),
    "the same, behind other shapes": (_through_shapes, "5 classes, and Gather looks them up in 4"),
    "one-hot too short": (_one_hot, "5 classes, and OneHot looks them up in 4"),
    "labels scaled beyond the embedding": (_label_scaled, "out of data bounds"),
    "another size at n=3": (_size_changes, "at batch size 3"),
}
