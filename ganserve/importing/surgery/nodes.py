"""Signatures of a foreign graph, and nodes to be put around it."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from ganserve.importing.surgery.wishes import printable

_NUMBERS = {
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}


@dataclass(frozen=True)
class Signature:
    """An input or output of a graph. dims: None where the file leaves an axis open, and for unknown ranks."""

    name: str
    dtype: np.dtype
    dims: tuple[int | None, ...] | None

    def __str__(self) -> str:
        name = printable(self.name)
        if self.dims is None:
            return f"'{name}', {self.dtype} of unknown rank"
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.dims)
        return f"'{name}', {self.dtype} [{axes}]"


def inputs_of(graph: onnx.GraphProto) -> list[Signature]:
    """What must be fed; not what has a value of its own."""
    given = {tensor.name for tensor in graph.initializer}
    return [_signature(value) for value in graph.input if value.name not in given]


def outputs_of(graph: onnx.GraphProto) -> list[Signature]:
    return [_signature(value) for value in graph.output]


def plain_name(name: str, taken: Collection[str], otherwise: str = "model") -> str:
    """As requests write it; what they call something else is the model's own."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or otherwise
    plain = f"model_{plain}" if plain[0].isdigit() or plain in taken else plain
    return plain if plain not in taken else f"{plain}_{len(taken)}"


def odd_kind(value: onnx.ValueInfoProto) -> str | None:
    """What an input or output is, in words, where it is no tensor of numbers that NumPy has."""
    kind = value.type.WhichOneof("value")
    if kind not in (None, "tensor_type"):
        words = kind.removesuffix("_type").replace("_", " ")
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}, not a tensor"
    element = value.type.tensor_type.elem_type
    return None if element in _NUMBERS or not element else f"a tensor of {_element_name(element)}"


def _element_name(element: int) -> str:
    known = element in TensorProto.DataType.values()
    return (
        TensorProto.DataType.Name(element).lower() if known else f"type {element}, which ONNX does not know"
    )


def _signature(value: onnx.ValueInfoProto) -> Signature:
    tensor = value.type.tensor_type
    dims = None
    if tensor.HasField("shape"):
        dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    element = tensor.elem_type if tensor.elem_type in _NUMBERS else TensorProto.FLOAT
    return Signature(value.name, np.dtype(helper.tensor_dtype_to_np_dtype(element)), dims)


class Nodes:
    """Nodes and constants in the order in which they are added; none of their names can be the foreign graph's."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """The name of what comes out; `out`, if it is given."""
        name = out or f"ganserve/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        name = f"ganserve/constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def cast(self, name: str, dtype: np.dtype, was: Any) -> str:
        """name: of what is of the type `was`."""
        if dtype == was:
            return name
        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(dtype))

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)


def constants_of(graph: onnx.GraphProto) -> dict[str, NDArray]:
    """Values that the graph itself holds, by name; not those of weights that were taken out of it."""
    found = {one.name: one for one in graph.initializer if one.data_location != TensorProto.EXTERNAL}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return {name: numpy_helper.to_array(tensor) for name, tensor in found.items()}


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those of its branches and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs_of(inner)


def rename(graph: onnx.GraphProto, new: Callable[[str], str]) -> None:
    """Every tensor gets another name, in branches and loops too. What is left out stays left out."""
    for one in graphs_of(graph):
        one.ClearField("value_info")
        for node in one.node:
            node.input[:] = [name and new(name) for name in node.input]
            node.output[:] = [name and new(name) for name in node.output]
        for value in (*one.input, *one.output, *one.initializer):
            value.name = new(value.name)
        for sparse in one.sparse_initializer:
            sparse.values.name = new(sparse.values.name)


def strip(graph: onnx.GraphProto) -> None:
    """Removes what only the exporter can use: above all the source paths of whoever exported."""
    for one in graphs_of(graph):
        for part in (one, *one.node, *one.initializer, *one.input, *one.output):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
