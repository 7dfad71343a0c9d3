"""Random operators: one z would have many pictures, so what they draw becomes part of z, or its mean."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ganserve.importing.surgery.feeds import Feeds, Noise
from ganserve.importing.surgery.nodes import Signature
from ganserve.importing.surgery.original import Original
from ganserve.importing.surgery.wishes import Fault, Refused
from service.generator.contract import MOST_Z, SCHEMA_OF_ROLES
from service.generator.file.inputs import Law

_SIMPLE = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def random_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Those that can be replaced: not in branches or loops."""
    return [node for node in graph.node if node.op_type in _SIMPLE]


def is_simple(where: str) -> bool:
    """where: the operator, and its name."""
    return where.split(" ")[0] in _SIMPLE


def silenced(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy where each gives the mean of what it drew."""
    silent = onnx.ModelProto()
    silent.CopyFrom(model)
    graph = silent.graph
    for node in random_nodes(graph):
        law, scale, shift = _law(node)
        mean = shift if law == "normal" else shift + scale / 2
        value = numpy_helper.from_array(np.array([mean], _dtype(node)))
        name, output = node.input[0] if node.input else None, node.output[0]
        if name is None:
            shape = f"{output}/shape"
            dims = next(one.ints for one in node.attribute if one.name == "shape")
            graph.initializer.append(numpy_helper.from_array(np.array(dims, np.int64), shape))
            made = [helper.make_node("ConstantOfShape", [shape], [output], value=value)]
        else:
            shape = helper.make_node("Shape", [name], [f"{output}/shape"])
            made = [shape, helper.make_node("ConstantOfShape", shape.output, [output], value=value)]
        _replace(graph, node, made)
    return silent


def become_inputs(model: onnx.ModelProto, weights: Mapping[str, NDArray], feeds: Feeds) -> Feeds:
    """Each becomes an input that takes numbers of z behind those that are there. Raises Refused."""
    nodes = random_nodes(model.graph)
    names = [node.output[0] for node in nodes]
    drawn = Original(silenced(model), weights, feeds, [model.graph.output[0].name, *names])
    count = drawn.batch or 2
    shapes = [one.shape for one in drawn.all(*drawn.inputs(count))[1:]]
    noises, faults = [], []
    for node, shape in zip(nodes, shapes, strict=True):
        if len(shape) < 2 or shape[0] not in (1, count):
            what = f"{node.op_type} '{node.name or node.output[0]}' draws numbers of the shape {list(shape)}, not per image."
            faults.append(Fault(what, "--noise none"))
            continue
        law, scale, shift = _law(node)
        # Where all images shared it, each now has its own.
        free = drawn.batch is None
        dims = (None if free else drawn.batch, *shape[1:])
        signature = Signature(node.output[0], np.dtype(_dtype(node)), dims)
        noises.append(Noise(signature, shape[1:], law, scale, shift))
        element = helper.np_dtype_to_tensor_dtype(signature.dtype)
        axes = ["N" if axis is None else axis for axis in dims]
        model.graph.input.append(helper.make_tensor_value_info(signature.name, element, axes))
        _replace(model.graph, node, [])
    grown = replace(feeds, noises=[*feeds.noises, *noises])
    if grown.z_dim > MOST_Z[SCHEMA_OF_ROLES]:
        what = f"z would have {grown.z_dim:,} numbers with what the graph draws; the service has up to {MOST_Z[SCHEMA_OF_ROLES]:,}."
        faults.append(Fault(what, "--noise none"))
    if faults:
        raise Refused(faults)
    return grown


def _law(node: onnx.NodeProto) -> tuple[Law, float, float]:
    """Law, scale and shift."""
    given = {one.name: one.f for one in node.attribute}
    if "Normal" in node.op_type:
        return "normal", given.get("scale", 1.0), given.get("mean", 0.0)
    low, high = given.get("low", 0.0), given.get("high", 1.0)
    return "uniform01", high - low, low


def _dtype(node: onnx.NodeProto) -> np.dtype:
    element = next((one.i for one in node.attribute if one.name == "dtype"), onnx.TensorProto.FLOAT)
    return helper.tensor_dtype_to_np_dtype(element)


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, made: list[onnx.NodeProto]) -> None:
    place = next(i for i, one in enumerate(graph.node) if one.output[:1] == node.output[:1])
    del graph.node[place]
    for one in reversed(made):
        graph.node.insert(place, one)
