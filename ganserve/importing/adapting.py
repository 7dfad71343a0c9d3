"""A foreign file and what is wished -> a graph of the contract that draws the same pictures."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
from msgspec.structs import astuple, replace
from numpy.typing import NDArray
from onnx import helper

from ganserve.importing.inspecting import Plan
from ganserve.importing.reading import converted
from ganserve.importing.surgery import batch
from ganserve.importing.surgery.nodes import Nodes, rename, strip
from ganserve.importing.surgery.wishes import Fault, Refused
from service.generator import golden
from service.generator.contract import (
    IR_VERSION,
    SCHEMA,
    SCHEMA_OF_ROLES,
    Contract,
    ImageShape,
    write,
)
from service.generator.engines.everything import golden_numbers, split
from service.generator.engines.lone import in_passes_of
from service.generator.file.outputs import IMAGE, Output
from service.generator.file.rewired import rewired
from service.generator.reference import reference

_BATCHES = (1, 3, 8)
_ORIGINAL = "original/"


class Adapted(NamedTuple):
    """The graph of the contract, the weights that were taken out of it, and what the file will say of itself."""

    model: onnx.ModelProto
    weights: dict[str, NDArray]
    contract: Contract


def adapt(plan: Plan, name: str) -> Adapted:
    """Raises Refused unless it draws what the original does."""
    feeds, shape, count = plan.feeds, plan.picture, len(plan.classes or ())
    seeds = range(max(10, min(count, 16)))
    labels = None if plan.classes is None else [seed % count for seed in seeds]
    samples = golden.make(plan.forward, feeds.z_dim, seeds, labels, feeds.rows(seeds), feeds.texts(seeds))
    if plan.further:
        told = plan.beside(feeds.rows(seeds), None if labels is None else np.array(labels))
        samples = [replace(one, beside=golden_numbers(told, i)) for i, one in enumerate(samples)]
    image = ImageShape(shape.channels, shape.height, shape.width)
    contract = Contract(
        schema=SCHEMA if feeds.is_plain and shape.channels < 4 and not plan.further else SCHEMA_OF_ROLES,
        name=name,
        z_dim=feeds.z_dim,
        classes=plan.classes,
        image=image,
        inputs=None if feeds.is_plain else feeds.declared,
        outputs=[Output(IMAGE, "image", [*astuple(image)]), *(one.declared for one in plan.further)]
        if plan.further
        else None,
        golden=samples,
    )
    model = converted(plan.foreign)
    size = plan.original.batch
    if size is not None and not feeds.shares:
        free = _compared(plan, batch.freed(model, set(feeds.shapes), size), contract)
        if isinstance(free, onnx.ModelProto):
            plan.notes.append(f"the batch, fixed to {size}, was made free")
            return Adapted(free, _weights(plan), contract)
    if size is not None:
        # StyleGAN2's modulated convolutions, for one, take the images of a batch as groups.
        why = "all images of a pass share what a request may choose" if feeds.shares else f"the graph takes a batch of {size} only"  # fmt: skip
        plan.notes.append(f"{why}, so every pass has {size}, padded where fewer are asked for: slower than a free batch")  # fmt: skip
        contract = replace(contract, schema=SCHEMA_OF_ROLES, batch=size)
    adapted = _compared(plan, model, contract)
    if isinstance(adapted, Fault):
        raise Refused([adapted])
    return Adapted(adapted, _weights(plan), contract)


def _compared(plan: Plan, model: onnx.ModelProto, contract: Contract) -> onnx.ModelProto | Fault:
    """The adapted graph, if it draws the original's pictures in batches of several sizes."""
    try:
        adapted = _around(plan, model, contract.batch)
        file = write(adapted, contract, _weights(plan))
        forward = _drawn_by(rewired(file, contract), contract.batch)
        if plan.further:
            every = _drawn_by(rewired(file, contract, everything=True), contract.batch)
        for count in _BATCHES:
            z, label = plan.original.inputs(count)
            for place, one in enumerate(plan.feeds.scalars, plan.feeds.z_dim):
                z[:, place] = np.linspace(one.default, one.high if one.default == one.low else one.low, count)
            label = None if label is None else label % max(1, contract.class_count)
            if plan.feeds.mixes:
                # Every second image is of all classes.
                z[1::2, plan.feeds.weights] = 1 / plan.feeds.mixes
            errors = golden.difference(forward(z, label), plan.forward(z, label))
            if excess := errors.excess("fp32"):
                return Fault(
                    f"At batch {count} the adapted graph draws other pictures: {excess}.",
                    "Report it, with the file.",
                )
            if plan.further and (apart := _apart(every(z, label), plan.beside(z, label), contract)):
                return Fault(
                    f"At batch {count} the adapted graph gives another '{apart}'.",
                    f"Leave out --beside {apart}",
                )
    except Refused as refused:
        return refused.faults[0]
    except Exception as error:  # onnx, onnxruntime and the contract raise a dozen classes
        return Fault(f"The adapted graph is not served: {error}", "Report it, with the file.")
    return adapted


def _weights(plan: Plan) -> dict[str, NDArray]:
    return {f"{_ORIGINAL}{name}": one for name, one in plan.foreign.weights.items()}


def _drawn_by(file: bytes, batch: int | None) -> Callable[..., NDArray]:
    """By ONNX Runtime, which says nothing on the terminal of a batch that turns out not to be free."""
    draw = reference(file)
    return in_passes_of(batch, lambda z, label: draw(z, label).images)


def _apart(rows: NDArray, want: dict[str, NDArray], contract: Contract) -> str | None:
    """The output that is another; None if none is."""
    got = split(rows, contract.given)
    for name, values in want.items():
        if not np.allclose(got[name], values, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(values).max()))):
            return name
    return None


def _around(plan: Plan, model: onnx.ModelProto, size: int | None) -> onnx.ModelProto:
    """model: the foreign one, converted. size: of its batch, if it stays fixed."""
    nodes, inner = Nodes(), onnx.GraphProto()
    inner.CopyFrom(model.graph)
    fed = plan.feeds.add_to(nodes)
    rename(inner, lambda name: fed.get(name) or f"{_ORIGINAL}{name}")
    nodes.nodes.extend(inner.node)
    nodes.tensors.extend(inner.initializer)
    plan.picture.add_to(nodes, f"{_ORIGINAL}{plan.picture.output.name}")
    shape = plan.picture
    axes = [size or "N", shape.channels, shape.height, shape.width]
    gives = [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, axes)]
    for one in plan.further:
        one.add_to(nodes, f"{_ORIGINAL}{one.output.name}")
        gives.append(one.info(size))
    whole = helper.make_graph(nodes.nodes, "generator", plan.feeds.infos(size), gives, nodes.tensors)
    whole.sparse_initializer.extend(inner.sparse_initializer)
    adapted = helper.make_model(whole, opset_imports=list(model.opset_import), ir_version=IR_VERSION)
    strip(adapted.graph)
    return adapted
