"""A foreign file and what is wished -> a graph of the contract that draws the same pictures."""

import onnx
from onnx import helper

from ganserve.importing.inspecting import Plan
from ganserve.importing.reading import converted
from ganserve.importing.surgery import batch
from ganserve.importing.surgery.nodes import Nodes, graphs_of, rename
from ganserve.importing.wishes import Fault, Refused
from service.generator import golden
from service.generator.contract import IR_VERSION, SCHEMA, Contract, ImageShape, write
from service.generator.engine import Forward

_LOOKED_AT = 8
_BATCHES = (1, 3, 8)


def adapt(plan: Plan, name: str) -> tuple[onnx.ModelProto, Contract]:
    """The graph of the contract, and what the file will say of itself. Raises Refused unless both draw the same."""
    count = len(plan.classes or ())
    seeds = range(max(10, min(count, 16)))
    labels = None if plan.classes is None else [seed % count for seed in seeds]
    shape = plan.picture
    contract = Contract(
        schema=SCHEMA,
        name=name,
        z_dim=plan.feeds.z_dim,
        classes=plan.classes,
        image=ImageShape(shape.shown_channels, shape.height, shape.width),
        golden=golden.make(plan.forward, plan.feeds.z_dim, seeds, labels),
    )
    model = converted(plan.foreign)
    size = plan.original.batch
    if size is not None:
        free = _compared(plan, batch.freed(model, set(plan.feeds.shapes), size), contract, None)
        if isinstance(free, onnx.ModelProto):
            plan.notes.append(f"the batch, fixed to {size}, was made free")
            return free, contract
        # StyleGAN2's modulated convolutions, for one, take the images of a batch as groups.
        each = "one by one" if size == 1 else f"{size} at a time"
        plan.notes.append(f"the graph takes a batch of {size} only, so a loop in the file draws the images of a request {each}: slower than a free batch")  # fmt: skip
    adapted = _compared(plan, model, contract, size)
    if isinstance(adapted, Fault):
        raise Refused([adapted])
    return adapted, contract


def _compared(
    plan: Plan, model: onnx.ModelProto, contract: Contract, size: int | None
) -> onnx.ModelProto | Fault:
    """The adapted graph, if it draws the original's pictures in batches of several sizes."""
    try:
        adapted = _around(plan, model, size)
        forward = _forward(write(adapted, contract), contract)
        for count in _BATCHES:
            z, label = plan.original.inputs(count)
            label = None if label is None else label % max(1, contract.class_count)
            errors = golden.difference(forward(z, label), plan.forward(z, label))
            if excess := errors.excess("fp32"):
                return Fault(
                    f"At batch {count} the adapted graph draws other pictures: {excess}.",
                    "Report it, with the file.",
                )
    except Exception as error:  # onnx, onnxruntime and the contract raise a dozen classes
        return Fault(f"The adapted graph is not served: {error}", "Report it, with the file.")
    return adapted


def _forward(file: bytes, contract: Contract) -> Forward:
    from service.generator.engines.ort import OrtEngine

    return OrtEngine(file, contract, cuda=False, precision="fp32", threads=1).wide


def _around(plan: Plan, model: onnx.ModelProto, size: int | None) -> onnx.ModelProto:
    """model: the foreign one, converted. size: of its batch, if it is fixed."""
    nodes, inner = Nodes(), onnx.GraphProto()
    inner.CopyFrom(model.graph)
    fed = plan.feeds.add_to(nodes)
    output = plan.picture.output.name
    if size is None:
        rename(inner, lambda name: fed.get(name) or f"original/{name}")
        nodes.nodes.extend(inner.node)
        nodes.tensors.extend(inner.initializer)
        raw = f"original/{output}"
    else:
        raw = batch.in_passes(nodes, inner, fed, plan.feeds, plan.picture, size)
    plan.picture.add_to(nodes, raw)
    shape = plan.picture
    inputs = [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", plan.feeds.z_dim])]
    if plan.classes is not None:
        inputs.append(helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["N"]))
    axes = ["N", shape.shown_channels, shape.height, shape.width]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, axes)
    whole = helper.make_graph(nodes.nodes, "generator", inputs, [image], nodes.tensors)
    if size is None:
        whole.sparse_initializer.extend(inner.sparse_initializer)
    adapted = helper.make_model(whole, opset_imports=list(model.opset_import), ir_version=IR_VERSION)
    _strip(adapted.graph)
    onnx.checker.check_model(adapted)
    return adapted


def _strip(graph: onnx.GraphProto) -> None:
    """Without what only the exporter can use: above all the source paths of whoever exported."""
    for one in graphs_of(graph):
        for part in (one, *one.node, *one.initializer):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
