"""A batch that the exporter fixed: made free where the graph allows it, else passes of exactly that size."""

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from ganserve.importing.surgery.feeds import Feeds
from ganserve.importing.surgery.nodes import Nodes, constants_of, rename
from ganserve.importing.surgery.picture import Picture


def freed(model: onnx.ModelProto, per_image: set[str], batch: int) -> onnx.ModelProto:
    """A copy whose inputs take any batch, and whose reshapes keep it. Whether it draws the same is to be seen."""
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for graph in [shape_inference.infer_shapes(model).graph]
        for value in (*graph.value_info, *graph.input)
    }
    free = onnx.ModelProto()
    free.CopyFrom(model)
    graph = free.graph
    graph.ClearField("value_info")
    for value in (*(one for one in graph.input if one.name in per_image), *graph.output):
        axes = value.type.tensor_type.shape.dim
        if axes:
            axes[0].dim_param = "N"
    held = constants_of(graph)
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in held:
            continue
        target = held[node.input[1]].copy()
        if not target.size or target[0] != batch:
            continue
        if shapes.get(node.input[0], [])[:1] == [batch]:
            target[0] = 0  # as it is
        elif -1 not in target:
            target[0] = -1
        name = f"{node.output[0]}/free_shape_{number}"
        graph.initializer.append(numpy_helper.from_array(target, name))
        node.input[1] = name
    return free


def in_passes(
    nodes: Nodes, graph: onnx.GraphProto, fed: dict[str, str], feeds: Feeds, picture: Picture, batch: int
) -> str:
    """Adds a Scan that runs the graph over the batch, `batch` images at a time. Returns the name of all its images.

    fed: what each input gets. A last pass that is not full begins again with the first images.
    """
    count = nodes.add("Shape", "z", end=1)
    rows = _rows(nodes, count, batch) if batch > 1 else ""
    shapes, given, inputs = feeds.shapes, [], []
    for one in graph.input:
        if one.name in shapes:
            part = nodes.add("Gather", fed[one.name], rows) if rows else fed[one.name]
            given.append(nodes.add("Reshape", part, nodes.integers(-1, batch, *shapes[one.name])))
            one.type.tensor_type.shape.dim[0].dim_value = batch
            inputs.append(one)
    # What is the same for all images is seen from inside.
    shared = {name: tensor for name, tensor in fed.items() if name not in shapes}
    output = next(one for one in graph.output if one.name == picture.output.name)
    rename(graph, lambda name: shared.get(name) or f"original/{name}")
    body = helper.make_graph(list(graph.node), "original", inputs, [output], list(graph.initializer))
    body.sparse_initializer.extend(graph.sparse_initializer)
    images = nodes.add("Scan", *given, body=body, num_scan_inputs=len(given))
    if batch == 1:
        return images
    images = nodes.add("Reshape", images, nodes.integers(-1, *picture.shape))
    return nodes.add("Slice", images, nodes.integers(0), count)


def _rows(nodes: Nodes, count: str, batch: int) -> str:
    """0, 1, ... and from 0 again, until passes are full. count: int64 [1]."""
    size, one = nodes.constant(batch, np.int64), nodes.constant(1, np.int64)
    whole = nodes.add("Squeeze", count)
    more = nodes.add("Sub", nodes.add("Add", whole, size), one)
    full = nodes.add("Mul", nodes.add("Div", more, size), size)
    places = nodes.add("Range", nodes.constant(0, np.int64), full, one)
    return nodes.add("Mod", places, whole)
