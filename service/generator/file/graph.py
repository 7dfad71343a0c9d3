"""What a graph says that no picture needs to be drawn for: noise, layers left in training, weights that are none."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from service.errors import EVAL, ContractError
from service.generator.file.apart import was_taken

_DRAWS = {
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Multinomial", "Bernoulli"),
}
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
# What hands a label on as it is.
_KEEPS_VALUES = {"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Expand"}
_HOLDS_LABELS = {TensorProto.INT32, TensorProto.INT64}
Signature = tuple[str, str, tuple[int | None, ...]]
"""Name, type and sides of an input or output; None: of any length."""
PLAIN_DOMAINS = {"", "ai.onnx"}
_NAMES_A_DOMAIN = onnx.NodeProto | onnx.OperatorSetIdProto | onnx.FunctionProto
_Values = dict[str, list[TensorProto | None]]


def signature(value: onnx.ValueInfoProto) -> Signature:
    tensor = value.type.tensor_type
    axes = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    kind = onnx.TensorProto.DataType.DESCRIPTOR.values_by_number.get(tensor.elem_type)
    return value.name, kind.name if kind else f"type {tensor.elem_type}", axes


def domains(model: onnx.ModelProto) -> set[str]:
    """Whose operators it has. Engines know some custom ones without an import, so nodes are asked themselves."""
    return {part.domain for part in parts(model, _NAMES_A_DOMAIN)}


def outside(model: onnx.ModelProto) -> list[TensorProto]:
    """Tensors whose numbers are not in it."""
    return [
        part
        for part in parts(model, TensorProto)
        if part.data_location == TensorProto.EXTERNAL or part.external_data
    ]


MENDS = {
    "random": "export again without it",
    "training": EVAL,
    "nan": "the weights are damaged: take another checkpoint",
}
"""By the kind of a fault."""


class Fault(NamedTuple):
    """kind: `random`, `training` or `nan`. where: which node or weights. output: what the node makes; of weights nothing."""

    kind: str
    text: str
    where: str
    output: str = ""


def faults(model: onnx.ModelProto, weights: Mapping[str, NDArray] | None = None) -> Iterator[Fault]:
    """Where the graph, a branch, a loop or a function of it draws numbers, is in training, or holds NaN.

    weights: those that were taken out of the model (file/apart.py). What lies in other files is looked at with them inside.
    """
    yield from _nan(model, weights or {})
    values = _constants(model)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    for node in parts(model, onnx.NodeProto):
        where = f"{node.op_type} '{node.name}'" if node.name else node.op_type
        output = node.output[0] if node.output else ""
        if node.op_type in _DRAWS:
            text = f"the graph draws random numbers, by {where}: one (z, label) would have many images"
            yield Fault("random", text, where, output)
        if node.op_type == "Dropout" and (wrong := _dropout(node, values, opset)):
            yield Fault(
                "training",
                f"dropout {wrong}, in {where}: one (z, label) would have many images",
                where,
                output,
            )
        if node.op_type == "BatchNormalization" and _attribute(node, "training_mode"):
            text = f"batch norm is left in training, in {where}: an image would depend on the others of its batch"
            yield Fault("training", text, where, output)


def labels_stay_inside(
    model: onnx.ModelProto, classes: int, label: str = "label", what: str = "classes"
) -> bool:
    """Whether every class is seen to have its row in each table that the input `label` is looked up in.

    False: it can't be seen. Raises ContractError where a table has fewer rows than there are classes. Engines take
    that in silence: OpenVINO makes a row up, ONNX Runtime does on CUDA (its issue 10234), and one-hot rows are 0.
    """
    found, seen = _look_ups(model, label)
    for operator, rows in found:
        if rows < classes:
            mend = f"take other names of {what}, {rows} of them, as by `ganserve import --classes`, or the file that they are of"
            raise ContractError(
                f"there are {classes} {what}, and {operator} looks them up in {rows} rows", mend
            )
    return seen


def label_rows(model: onnx.ModelProto, name: str) -> int | None:
    """How many classes the input `name` may have: rows of the smallest table it is looked up in; None if none is seen."""
    return min((rows for _, rows in _look_ups(model, name)[0]), default=None)


def _look_ups(model: onnx.ModelProto, name: str) -> tuple[list[tuple[str, int]], bool]:
    """Operators that look a label up, and in how many rows; and whether these are seen to be all."""
    values = _constants(model)
    found: list[tuple[str, int]] = []
    labels, seen = {name}, True
    for node in model.graph.node:
        if labels.isdisjoint(node.input):
            # A branch or a loop may read it from outside.
            inner = (name for part in parts(node, onnx.NodeProto) for name in part.input)
            seen = seen and labels.isdisjoint(inner)
        elif node.op_type in _KEEPS_VALUES and node.input[0] in labels:
            labels.add(node.output[0])
            seen = seen and (node.op_type != "Cast" or _attribute(node, "to") in _HOLDS_LABELS)
        elif node.op_type in ("Gather", "OneHot"):
            rows, is_last = _rows(node, labels, values)
            if rows is not None:
                found.append((node.op_type, rows))
            seen = seen and rows is not None and is_last
        else:
            seen = False
    return found, seen


def _rows(node: onnx.NodeProto, labels: set[str], values: _Values) -> tuple[int | None, bool]:
    """Of the table that a label is looked up in; None if that is not known. And whether what is found is no index itself."""
    if node.op_type == "OneHot":
        depth = _only(values, node.input[1]) if node.input[0] in labels else None
        return None if depth is None else int(numpy_helper.to_array(depth).reshape(-1)[0]), True
    table = _only(values, node.input[0])
    if table is None or not table.dims or node.input[1] not in labels:
        return None, False
    return table.dims[_attribute(node, "axis")], table.data_type in _FLOATS


def _nan(model: onnx.ModelProto, weights: Mapping[str, NDArray]) -> Iterator[Fault]:
    # Not infinity, which masks are made of.
    for tensor in parts(model, TensorProto):
        if tensor.data_type in _FLOATS:
            taken = weights.get(tensor.name) if was_taken(tensor) else None
            if taken is None and tensor.data_location == TensorProto.EXTERNAL:
                continue
            try:
                is_nan = np.isnan(numpy_helper.to_array(tensor) if taken is None else taken).any()
            except Exception as error:  # of hostile input, whatever NumPy and protobuf raise
                where = f"weights '{tensor.name}'"
                yield Fault("nan", f"{where} can't be read: {error}", where)
                continue
            if is_nan:
                where = f"weights '{tensor.name}'"
                yield Fault("nan", f"{where} hold NaN", where)


def _dropout(node: onnx.NodeProto, values: _Values, opset: int) -> str:
    """By what it may drop anything; nothing where it can't.

    Up to opset 6 it drops unless an attribute says that it is tested. From 7 to 11 it has no switch, and hands on what it
    gets. From 12 on it drops where its third input is there, and no constant false; its ratio is the second.
    """
    if opset < 7:
        return "" if _attribute(node, "is_test") else "is left on"
    if opset < 12:
        return ""
    if any(one.name == "ratio" for one in node.attribute):
        return "has its ratio as before opset 12"
    if len(node.input) < 3 or not node.input[2]:
        return ""
    flags = values.get(node.input[2], [None])
    is_on = any(flag is None or bool(numpy_helper.to_array(flag).any()) for flag in flags)
    return "is left on" if is_on else ""


def _constants(model: onnx.ModelProto) -> _Values:
    """What each name stands for: several where scopes use one again, None for what is computed."""
    values: _Values = defaultdict(list)
    for graph in parts(model, onnx.GraphProto):
        for tensor in graph.initializer:
            values[tensor.name].append(tensor)
    for node in parts(model, onnx.NodeProto):
        constant = None
        if node.op_type == "Constant":
            constant = next((one.t for one in node.attribute if one.name == "value"), None)
        for name in node.output:
            values[name].append(constant)
    return values


def _only(values: _Values, name: str) -> TensorProto | None:
    known = values.get(name, [])
    return known[0] if len(known) == 1 else None


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def parts(message: Message, kind: type[Any] | UnionType) -> Iterator[Any]:
    """Every part of a kind: in branches, loops, functions and sparse tensors, wherever."""
    if isinstance(message, kind):
        yield message
    if isinstance(message, TensorProto):  # its weights are not worth the copy
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from parts(part, kind)
