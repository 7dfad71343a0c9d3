"""A judge of a tiny generator's images, made without torch, and that generator with what can go wrong with it."""

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from service.generator import contract
from service.generator.latents import latents
from service.generator.quality import reference
from tests.generators import Tiny

TINY = Tiny(golden_samples=0)
IMAGES = 200
"""Of a window."""
_FEATURES = 24


def drawn(first: int, count: int, tiny: Tiny = TINY) -> reference.Labelled:
    seeds = range(first, first + count)
    labels = np.array(seeds) % 10
    return tiny.forward(latents(seeds, tiny.z_dim), labels if tiny.classes else None), labels


def watch(tiny: Tiny = TINY) -> bytes:
    """What `export` writes beside the file; real images are some that it would draw."""
    others, own = ([drawn(first + i * IMAGES, IMAGES, tiny) for i in range(10)] for first in (10_000, 20_000))
    if tiny.classes is None:
        own = [(images, None) for images, _ in own]
    return reference.write(judge(tiny), drawn(30_000, 2 * IMAGES, tiny), others, own)


def judge(tiny: Tiny = TINY) -> onnx.ModelProto:
    """Random features of the pixels, and classes by least squares."""
    images, labels = drawn(0, 2000, tiny)
    pixels = images.reshape(len(images), -1).astype(np.float32)
    projection = np.random.default_rng(0).normal(size=(pixels.shape[1], _FEATURES)).astype(np.float32) / 1000
    classes, *_ = np.linalg.lstsq(pixels, np.eye(10, dtype=np.float32)[labels], rcond=None)
    nodes = [
        h.make_node("Cast", ["image"], ["levels"], to=T.FLOAT),
        h.make_node("Flatten", ["levels"], ["pixels"]),
        h.make_node("MatMul", ["pixels", "projection"], ["projected"]),
        h.make_node("Relu", ["projected"], ["features"]),
        h.make_node("MatMul", ["pixels", "classes"], ["logits"]),
    ]
    graph = h.make_graph(
        nodes,
        "judge",
        [h.make_tensor_value_info("image", T.UINT8, ["N", *tiny.image])],
        [
            h.make_tensor_value_info("features", T.FLOAT, ["N", _FEATURES]),
            h.make_tensor_value_info("logits", T.FLOAT, ["N", 10]),
        ],
        [numpy_helper.from_array(projection, "projection"), numpy_helper.from_array(classes, "classes")],
    )
    return h.make_model(
        graph, opset_imports=[h.make_opsetid("", contract.OPSET)], ir_version=contract.IR_VERSION
    )


def perturbed() -> bytes:
    """Every weight is off by some 60 %."""
    noise = np.random.default_rng(5)
    return _changed(
        lambda weights: weights * (1 + 0.6 * noise.normal(size=weights.shape)),
        "linear",
        "embedding",
        "kernel",
    )


def permuted() -> bytes:
    """Two of the ten classes are each other's."""
    return _changed(lambda weights: weights[[0, 1, 2, 4, 3, 5, 6, 7, 8, 9]], "embedding")


def collapsed() -> bytes:
    """All images of class 3 are one."""
    model = TINY.model()
    mask = np.ones((10, 1), np.float32)
    mask[3] = 0
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    (product,) = (node for node in model.graph.node if "z" in node.input)
    product.input[0] = "masked"
    for node in (
        h.make_node("Mul", ["z", "kept"], ["masked"]),
        h.make_node("Gather", ["mask", "label"], ["kept"]),
    ):
        model.graph.node.insert(0, node)
    return contract.write(model, TINY.contract())


def _changed(change: Callable[[NDArray], NDArray], *names: str) -> bytes:
    model = TINY.model()
    for tensor in model.graph.initializer:
        if tensor.name in names:
            weights = change(numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return contract.write(model, TINY.contract())
