"""A batch that the exporter fixed: made free where the graph allows it."""

import onnx
from onnx import numpy_helper, shape_inference

from ganserve.importing.surgery.nodes import constants_of


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
