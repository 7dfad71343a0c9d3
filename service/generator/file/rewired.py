"""Inputs by role -> the two that engines know: an image's row of numbers, called `z`, and `label`."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.generator.contract import Contract
from service.generator.file.apart import put_together, taken_apart

_BEHIND = {"scalar": 1, "class_weights": 2}


def rewired(file: bytes, contract: Contract) -> bytes:
    """The file as engines run it; a file of schema 1 as it is.

    Inputs z float32 [N, contract.row_dim] and, if there are classes, label int64 [N]; output image uint8 [N, C, H, W].
    """
    if contract.inputs is None or contract.is_plain:
        return file
    apart = taken_apart(file)
    model = apart.model()
    graph = model.graph
    _rename(graph, {one.name: f"input/{one.name}" for one in contract.inputs})
    _rename(graph, {name: f"graph/{name}" for name in ("z", "label")})
    batch = contract.batch or "N"
    nodes: list[onnx.NodeProto] = []
    begin = 0

    def columns(size: int, out: str) -> None:
        nonlocal begin
        ends = [_integers(graph, f"{out}/{i}", [end]) for i, end in enumerate((begin, begin + size, 1))]
        nodes.append(helper.make_node("Slice", ["z", *ends], [out]))
        begin += size

    # As a row is laid out: z, noise and image in their order, then the scalars, then the weights of classes.
    for one in sorted(contract.declared, key=lambda one: _BEHIND.get(one.role, 0)):
        inner = f"input/{one.name}"
        if one.role == "label":
            nodes.append(helper.make_node("Identity", ["label"], [inner]))
            continue
        columns(one.size, f"{inner}/flat")
        if one.role == "class_weights":
            nodes.extend(_weights_or_label(graph, f"{inner}/flat", inner, one.size))
            continue
        shape = _integers(graph, f"{inner}/shape", [-1, *one.shape])
        if one.role == "image":  # whole numbers of 0 to 255, which every engine casts alike
            nodes.append(helper.make_node("Reshape", [f"{inner}/flat", shape], [f"{inner}/levels"]))
            nodes.append(helper.make_node("Cast", [f"{inner}/levels"], [inner], to=TensorProto.UINT8))
            continue
        nodes.append(helper.make_node("Reshape", [f"{inner}/flat", shape], [inner]))
    rest = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *rest])
    graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, contract.row_dim]))
    if contract.classes is not None:
        graph.input.append(helper.make_tensor_value_info("label", TensorProto.INT64, [batch]))
    weights = {
        f"graph/{name}" if name in ("z", "label") else name: one for name, one in apart.weights.items()
    }
    return put_together(model.SerializeToString(), weights)


def _weights_or_label(graph: onnx.GraphProto, weights: str, out: str, classes: int) -> list[onnx.NodeProto]:
    """The weights of an image, or where they are all 0 its label as a row of one 1."""
    depth, axis = (
        _integers(graph, f"{out}/{name}", [value]) for name, value in (("depth", classes), ("axis", 1))
    )
    graph.initializer.append(numpy_helper.from_array(np.array([0, 1], np.float32), f"{out}/levels"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), f"{out}/none"))
    return [
        helper.make_node("OneHot", ["label", depth, f"{out}/levels"], [f"{out}/alone"]),
        helper.make_node("ReduceSum", [weights, axis], [f"{out}/sum"]),
        helper.make_node("Greater", [f"{out}/sum", f"{out}/none"], [f"{out}/is_given"]),
        helper.make_node("Where", [f"{out}/is_given", weights, f"{out}/alone"], [out]),
    ]


def _integers(graph: onnx.GraphProto, name: str, values: list[int]) -> str:
    graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    return name


def _rename(graph: onnx.GraphProto, new: dict[str, str]) -> None:
    """Tensors, in branches and loops too."""
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _rename(inner, new)
