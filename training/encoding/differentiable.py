"""An ONNX generator in torch, so that errors in its pictures have a gradient in z: whoever has the file has no checkpoint."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor

from service.generator.golden import difference
from training.errors import UserError

Attributes = dict[str, Any]
Generator = Callable[[Tensor, Tensor | None], Tensor]
"""(z float32 [N, row_dim], label int64 [N]) -> float32 [N, C, H, W], whole grey levels 0 to 255, with a gradient."""


def differentiable(file: bytes) -> Generator:
    """The graph of a file as engines run it (`as_engines_run_it`).

    Raises UserError, naming the operators that are not in `OPERATORS`.
    """
    model = onnx.load_model_from_string(file)
    if unknown := sorted({node.op_type for node in model.graph.node} - set(OPERATORS)):
        raise UserError(f"no gradient is known of its operators {', '.join(unknown)}")
    weights = {one.name: _tensor(one) for one in model.graph.initializer}
    nodes = [
        (OPERATORS[node.op_type], _attributes(node), list(node.input), list(node.output))
        for node in model.graph.node
    ]

    def forward(z: Tensor, label: Tensor | None) -> Tensor:
        values: dict[str, Any] = weights | {"": None, "z": z, "label": label}
        for operator, attributes, inputs, outputs in nodes:
            found = operator(attributes, *(values[name] for name in inputs))
            parts = found if isinstance(found, tuple | list) else (found,)
            values.update(zip(outputs, parts, strict=False))
        return values["image"]

    return forward


def check_same(generator: Generator, want: np.ndarray, z: np.ndarray, label: np.ndarray | None) -> None:
    """Raises UserError unless it draws the engine's pictures `want`, uint8 [N, C, H, W], within a grey level or so."""
    try:
        with torch.no_grad():
            got = generator(torch.from_numpy(z), None if label is None else torch.from_numpy(label))
        found = difference(got.to(torch.uint8).numpy(), want)
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"its graph is not read in torch: {str(error).splitlines()[0]}") from error
    if excess := found.excess("fp32"):
        raise UserError(f"torch draws other pictures than ONNX Runtime: {excess}")


def _tensor(proto: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def _attributes(node: onnx.NodeProto) -> Attributes:
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def _through(x: Tensor, whole: Tensor) -> Tensor:
    """`whole`, with x's gradient: a step has none (Bengio et al. 2013, arXiv 1308.3432, section 4)."""
    return x + (whole - x).detach()


def _cast(a: Attributes, x: Tensor) -> Tensor:
    kind = torch.from_numpy(np.empty(0, helper.tensor_dtype_to_np_dtype(a["to"]))).dtype
    # The end of the graph: bytes would have no gradient.
    return _through(x, x.trunc()) if kind is torch.uint8 and x.is_floating_point() else x.to(kind)


def _padded(a: Attributes, x: Tensor) -> tuple[Tensor, list[int]]:
    """x, and what the convolution itself pads: both ends of an axis alike."""
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UserError(f"its graph is not read in torch: auto_pad {a['auto_pad']}")
    axes = x.ndim - 2
    pads = a.get("pads", [0] * 2 * axes)
    if pads[:axes] == pads[axes:]:
        return x, pads[:axes]
    ends = [end for axis in reversed(range(axes)) for end in (pads[axis], pads[axis + axes])]
    return F.pad(x, ends), [0] * axes


def _conv(transposed: bool) -> Callable[..., Tensor]:
    def conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        padded, padding = _padded(a, x)
        strides, dilations = (a.get(name, [1] * len(padding)) for name in ("strides", "dilations"))
        more, groups = a.get("output_padding", [0] * len(padding)), a.get("group", 1)
        given = x if transposed else padded
        return torch.convolution(given, w, b, strides, padding, dilations, transposed, more, groups)

    return conv


def _gemm(a: Attributes, x: Tensor, y: Tensor, c: Tensor | float = 0.0) -> Tensor:
    x, y = (part.mT if a.get(name) else part for part, name in ((x, "transA"), (y, "transB")))
    return a.get("alpha", 1.0) * (x @ y) + a.get("beta", 1.0) * c


def _resize(
    a: Attributes, x: Tensor, _: Any = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    mode = {"nearest": "nearest", "linear": "bilinear"}[a.get("mode", "nearest")]
    aligned = a.get("coordinate_transformation_mode") == "align_corners" if mode == "bilinear" else None
    size, scale = (None if one is None else one.tolist()[2:] for one in (sizes, scales))
    return F.interpolate(x, size, None if size else scale, mode, aligned)


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sides = shape.tolist()
    if not a.get("allowzero"):
        sides = [x.shape[i] if side == 0 else side for i, side in enumerate(sides)]
    return x.reshape(sides)


def _slice(
    _: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Any = None
) -> Tensor:
    places = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    cut = [slice(None)] * x.ndim
    for place, *span in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
        cut[place] = slice(*span)
    return x[tuple(cut)]


def _axes(a: Attributes, axes: Tensor | None) -> list[int]:
    """An input since opset 13 or 18, an attribute before."""
    return a.get("axes", []) if axes is None else axes.tolist()


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    places = _axes(a, axes)
    for place in sorted(place % (x.ndim + len(places)) for place in places):
        x = x.unsqueeze(place)
    return x


def _reduce(how: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        return how(x, dim=_axes(a, axes) or list(range(x.ndim)), keepdim=bool(a.get("keepdims", 1)))

    return reduced


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis, index = a.get("axis", 0) % x.ndim, index.long() % x.shape[a.get("axis", 0)]
    flat = x.index_select(axis, index.flatten())
    return flat.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    # Since opset 18 a number of equal parts, the last of which may be smaller.
    equal = math.ceil(x.shape[axis] / a["num_outputs"]) if sizes is None else sizes.tolist()
    return x.split(equal, axis)


def _depth_to_space(a: Attributes, x: Tensor) -> Tensor:
    side = a["blocksize"]
    if a.get("mode", "DCR") == "DCR":
        x = x.unflatten(1, (side * side, -1)).transpose(1, 2).flatten(1, 2)
    return F.pixel_shuffle(x, side)


def _each(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda _, *inputs: function(*inputs)


# What `export` and torch's exporter write of generators; of others E learns by z alone.
# fmt: off
OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: _each(getattr(torch, name.lower())) for name in ("Relu", "Tanh", "Sigmoid", "Exp", "Log", "Sqrt", "Neg", "Abs", "Erf", "Sin", "Cos", "Reciprocal", "Add", "Sub", "Mul", "Pow", "MatMul", "Where", "Greater", "Less")},
    "Equal": _each(torch.eq), "Not": _each(torch.logical_not), "Max": _each(torch.maximum), "Min": _each(torch.minimum),
    "Div": lambda a, x, y: torch.div(x, y, rounding_mode=None if x.is_floating_point() else "trunc"), "Softplus": _each(F.softplus), "Identity": _each(lambda x: x),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "PRelu": lambda a, x, slope: torch.where(x < 0, slope * x, x),
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "Clip": lambda a, x, low=None, high=None: x.clamp(low, high),
    "Round": lambda a, x: _through(x, x.round()), "Floor": lambda a, x: _through(x, x.floor()), "Cast": _cast,
    "Gemm": _gemm, "Conv": _conv(False), "ConvTranspose": _conv(True),
    "BatchNormalization": lambda a, x, scale, shift, mean, var: F.batch_norm(x, mean, var, scale, shift, eps=a.get("epsilon", 1e-5)),
    "LayerNormalization": lambda a, x, scale, shift=None: F.layer_norm(x, x.shape[a.get("axis", -1) :], scale, shift, a.get("epsilon", 1e-5)),
    "InstanceNormalization": lambda a, x, scale, shift: F.instance_norm(x, weight=scale, bias=shift, eps=a.get("epsilon", 1e-5)),
    "ReduceMean": _reduce(torch.mean), "ReduceSum": _reduce(torch.sum),
    "Resize": _resize, "DepthToSpace": _depth_to_space, "Reshape": _reshape, "Slice": _slice, "Unsqueeze": _unsqueeze,
    "Squeeze": lambda a, x, axes=None: x.squeeze(tuple(_axes(a, axes))),
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)), "Transpose": lambda a, x: x.permute(a["perm"]),
    "Concat": lambda a, *parts: torch.cat(parts, a["axis"]), "Gather": _gather, "Split": _split,
    "OneHot": lambda a, index, depth, levels: torch.where(F.one_hot(index.long(), int(depth)).bool(), levels[1], levels[0]),
    "Expand": lambda a, x, shape: x.expand(torch.broadcast_shapes(x.shape, shape.tolist())),
    "Shape": lambda a, x: torch.tensor(x.shape)[a.get("start", 0) : a.get("end")],
    "Constant": lambda a: _tensor(a["value"]) if "value" in a else torch.tensor(next(iter(a.values()))),
    "ConstantOfShape": lambda a, shape: torch.full(shape.tolist(), _tensor(a["value"]).item() if "value" in a else 0.0),
}
# fmt: on
