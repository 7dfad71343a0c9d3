"""Inputs by role -> the two that engines know: an image's row of numbers, called `z`, and `label`; outputs -> one, `image`."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.generator.contract import Contract
from service.generator.file.apart import put_together, taken_apart
from service.generator.file.graph import parts
from service.generator.file.outputs import IMAGE

_BEHIND = {"scalar": 1, "class_weights": 2, "text": 3}
# Whole numbers in float32, which every engine casts alike: levels of 0 to 255, and token ids.
_WHOLE = {"image": TensorProto.UINT8, "text": TensorProto.INT64}


def rewired(file: bytes, contract: Contract, everything: bool = False) -> bytes:
    """The file as engines run it; a file of schema 1 as it is.

    Inputs z float32 [N, contract.row_dim] and, if there are classes, label int64 [N]; output image uint8 [N, C, H, W], and no node
    that only other outputs need. everything: `image` is all outputs in one row of numbers, float32 [N, sum of their sizes], in
    their order.
    """
    is_plain = contract.inputs is None or contract.is_plain
    if is_plain and contract.outputs is None:
        return file
    apart = taken_apart(file)
    model = apart.model()
    graph = model.graph
    new = {} if is_plain else {name: f"graph/{name}" for name in ("z", "label")}
    new |= {} if is_plain else {one.name: f"input/{one.name}" for one in contract.declared}
    if contract.outputs is not None:
        (picture,) = (one.name for one in contract.given if one.role == "image")
        new |= {IMAGE: f"graph/{IMAGE}"} | ({} if everything else {picture: IMAGE})
    _rename(graph, new)
    if not is_plain:
        _rewire_inputs(graph, contract)
    if contract.outputs is not None and everything:
        _join_outputs(graph, contract)
    elif contract.outputs is not None:
        _keep_only(graph, IMAGE)
    weights = {new.get(name, name): one for name, one in apart.weights.items()}
    return put_together(model.SerializeToString(), weights)


def _rewire_inputs(graph: onnx.GraphProto, contract: Contract) -> None:
    batch = contract.batch or "N"
    nodes: list[onnx.NodeProto] = []
    begin = 0

    def columns(size: int, out: str) -> None:
        nonlocal begin
        ends = [_integers(graph, f"{out}/{i}", [end]) for i, end in enumerate((begin, begin + size, 1))]
        nodes.append(helper.make_node("Slice", ["z", *ends], [out]))
        begin += size

    # As a row is laid out: z, noise and image in their order, then the scalars, the weights of classes, the text.
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
        if kind := _WHOLE.get(one.role):
            nodes.append(helper.make_node("Reshape", [f"{inner}/flat", shape], [f"{inner}/whole"]))
            nodes.append(helper.make_node("Cast", [f"{inner}/whole"], [inner], to=kind))
            continue
        nodes.append(helper.make_node("Reshape", [f"{inner}/flat", shape], [inner]))
    rest = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *rest])
    graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, contract.row_dim]))
    if contract.classes is not None:
        graph.input.append(helper.make_tensor_value_info("label", TensorProto.INT64, [batch]))


def _join_outputs(graph: onnx.GraphProto, contract: Contract) -> None:
    """Each as a row of numbers, one after another."""
    names, rows = [one.name for one in graph.output], []
    for name, one in zip(names, contract.given, strict=True):
        shape = _integers(graph, f"output/{name}/shape", [-1, one.size])
        graph.node.append(helper.make_node("Cast", [name], [f"output/{name}"], to=TensorProto.FLOAT))
        graph.node.append(helper.make_node("Reshape", [f"output/{name}", shape], [f"output/{name}/row"]))
        rows.append(f"output/{name}/row")
    graph.node.append(helper.make_node("Concat", rows, [IMAGE], axis=1))
    del graph.output[:]
    sides = [contract.batch or "N", sum(one.size for one in contract.given)]
    graph.output.append(helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, sides))


def _keep_only(graph: onnx.GraphProto, output: str) -> None:
    """Without the nodes that this output does not need: ONNX Runtime would run them."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):  # which are in the order in which they run
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for part in parts(node, onnx.NodeProto) for name in part.input)
            needed.update(one.name for part in parts(node, onnx.GraphProto) for one in part.output)
    kept = [value for value in graph.output if value.name == output]
    del graph.node[:], graph.output[:]
    graph.node.extend(reversed(nodes))
    graph.output.extend(kept)


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
