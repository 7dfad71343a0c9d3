"""A trained generator as an ONNX graph, and the proof that it draws the same pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganserve.importing.surgery.nodes import strip
from ganserve.importing.torch_module import exported
from service.generator.contract import IR_VERSION, Contract
from service.generator.engine import Forward
from service.generator.engines.ort import OrtEngine
from service.generator.file.rewired import rewired
from service.generator.golden import difference
from training.data.dataset import to_levels
from training.errors import UserError
from training.export.folding import fold
from training.gan.draws import declared
from training.run.checkpoint import TrainedGenerator

PARITY_BATCHES = (1, 3, 64)
Rows = Callable[[Sequence[int]], NDArray[np.float32]]
"""What a file is given of each seed, as Contract.rows: float32 [N, row_dim]."""


class Served(nn.Module):
    """(z, label) or (z, text), or z and perhaps codes -> uint8 image, as dataset.to_levels makes it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor | list[Tensor], label: Tensor | None = None) -> Tensor:
        """z: float32 [N, z_dim], or in parts, [N, any] and a code each, [N]. label: int64 [N], or token ids [N, L]. Returns uint8 [N, C, H, W]."""
        if not isinstance(z, Tensor):
            z = torch.cat([z[0], *(code[:, None] for code in z[1:])], dim=1)
        if label is None:
            label = torch.zeros(z.shape[0], dtype=torch.int64)  # len(z) would be a constant
        image = self.generator(z, label)
        return to_levels(image)


def to_graph(trained: TrainedGenerator) -> onnx.ModelProto:
    """The graph of the contract, without metadata: inputs z and, with classes, label, or the codes; output image; N free."""
    # Fold leaves it no conditional batch norm, and check_parity is never skipped.
    served, batch = Served(fold(trained.generator)), {0: torch.export.Dim("N")}
    # An example batch of 1 would make the batch axis a constant.
    if inputs := declared(trained.settings):
        parts = [torch.zeros(2, *one.shape) for one in inputs]
        names = [one.name for one in inputs]
        return traced(served, {"z": parts}, {"z": [batch] * len(parts)}, "generator", ["image"], names)
    given = {"z": torch.zeros(2, trained.settings.z_dim)}
    if trained.class_names is not None:
        given["label"] = torch.zeros(2, dtype=torch.int64)
    free = {"z": batch, "label": {0: torch.export.Dim.AUTO}}
    return traced(served, given, free, "generator", ["image"])


def traced(
    module: nn.Module,
    inputs: Mapping[str, Tensor | list[Tensor]],
    free: dict[str, Any],
    name: str,
    outputs: list[str],
    names: list[str] | None = None,
) -> onnx.ModelProto:
    """A module as a plain graph. free: the axes that are, by input. names: of the graph's inputs, where one of the module's is several.

    Whoever asks compares what it gives: the exporter has written wrong graphs of convolution and batch norm (pytorch issues
    166797 and 169178). The one before it is deprecated, and wrote 249 nodes where this one writes 71.
    """
    axes = tuple(free[name] for name in inputs)
    program = exported(module.eval(), tuple(inputs.values()), names or list(inputs), axes, outputs)
    model = onnx.ModelProto()
    model.CopyFrom(program.model_proto)
    model.ir_version = IR_VERSION
    strip(model.graph)
    model.graph.ClearField("value_info")
    model.graph.name = name
    onnx.checker.check_model(model, full_check=True)
    return model


def check_parity(file: bytes, contract: Contract, want: Forward, rows: Rows | None = None) -> None:
    """Raises UserError, naming batch and figure, where ONNX Runtime's images are not those of `want`, the network.

    rows: what both are given; by default the contract's.
    """
    got = OrtEngine(rewired(file, contract), contract, cuda=False, precision="fp32", threads=1).wide
    for batch in PARITY_BATCHES:
        # Every class at least once.
        count = batch if batch == 1 else max(batch, contract.class_count)
        for start in range(0, count, batch):
            seeds = range(start, start + batch)
            label = None if contract.classes is None else np.array(seeds) % contract.class_count
            given = rows(seeds) if rows else contract.rows(seeds, contract.texts(seeds))
            if excess := difference(got(given, label), want(given, label)).excess("fp32"):
                raise UserError(f"not exported: at batch {batch} ONNX Runtime differs from torch: {excess}")


def multiply_adds(model: onnx.ModelProto) -> int:
    """Multiply-adds of the convolutions and matrix products, for one image."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input):
        # The free batch axis counts as one image.
        shapes[value.name] = tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(shapes[node.output[0]]) * np.prod(shapes[node.input[1]][1:]))
        elif node.op_type == "ConvTranspose":
            total += int(np.prod(shapes[node.input[0]]) * np.prod(shapes[node.input[1]][1:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1])
    return total
