"""PyTorch beside ONNX Runtime, on the same card and the same weights: eager, TF32, channels last, fp16, bf16, compiled."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from benchmarks.gpu import networks, sessions
from benchmarks.gpu.part import Part
from service.generator import golden
from service.generator.contract import parse
from service.generator.engines.cuda import BoundPasses
from service.generator.engines.lone import inputs

_BATCHES = (1, 16, 64, 256)
_SECONDS = 0.3
_COMPILE_SECONDS = 15.0


def run(part: Part, sizes: tuple[tuple[float, int], ...] = ((10, 128), (100, 64))) -> None:
    """sizes: million parameters and pixels."""
    try:
        import torch
    except ImportError:
        return part.leave_out("PyTorch is not installed")
    if part.card and not torch.cuda.is_available():
        return part.leave_out("this PyTorch sees no GPU")
    for millions, pixels in sizes:
        name = networks.name(millions, pixels)
        if part.has_time(name, 5 if millions < 50 else 15):
            with torch.inference_mode():
                _compare(part, name, networks.make(millions, pixels), networks.widths(millions, pixels))
    return None


def _compare(part: Part, name: str, file: bytes, channels: tuple[int, ...]) -> None:
    import torch

    contract = parse(file)
    z, label = inputs(contract, 0, 4)
    want = BoundPasses(sessions.session(part, file, "fp32"), contract, (4,), part.device)(z, label)
    torch.backends.cudnn.benchmark = False  # else each shape's first pass takes seconds
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("eager in fp32", "fp32", {}),
        ("eager in tf32", "tf32", {}),
        ("channels last in tf32", "tf32", {"memory_format": torch.channels_last}),
        ("channels last in fp16", "fp16", {"dtype": torch.float16, "memory_format": torch.channels_last}),
        ("channels last in bf16", "bf16", {"dtype": torch.bfloat16, "memory_format": torch.channels_last}),
        (
            "compiled, channels last in fp16",
            "fp16",
            {"dtype": torch.float16, "memory_format": torch.channels_last},
        ),
    ]
    for way, precision, how in ways if part.card else [ways[0], ways[4]]:
        what = f"{name}, PyTorch, {way}"
        compiled = way.startswith("compiled")
        if not part.has_time(what, _COMPILE_SECONDS if compiled else 1):
            continue
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            network = _network(file, channels).to(part.device, **how)
            draw = torch.compile(network, dynamic=False) if compiled else network
            got = _pass(draw, z, label, part.device, how.get("dtype"))()
        except Exception as error:  # no compiler, no memory
            part.leave_out(f"{what}: {str(error).strip()[:300]}")
            continue
        errors = golden.difference(got, want)
        excess = errors.excess(precision)
        part.check(
            f"{what}: the images of ONNX Runtime",
            excess is None,
            excess or f"max {errors.max:.0f}, mean {errors.mean:.3g}",
        )

        def make(batch: int, draw=draw, how=how) -> Callable[[], object]:
            return _pass(draw, *inputs(contract, 0, batch), part.device, how.get("dtype"))

        # Each size would be compiled anew.
        sessions.sweep(part, what, make, (64,) if compiled else _BATCHES, _SECONDS)


def _pass(draw: Any, z: Any, label: Any, device: str, dtype: Any) -> Callable[[], np.ndarray]:
    import torch

    def forward() -> np.ndarray:
        with torch.inference_mode():
            rows = torch.from_numpy(z).to(device, dtype)
            return draw(rows, torch.from_numpy(label).to(device)).cpu().numpy()

    return forward


def _network(file: bytes, channels: tuple[int, ...]) -> Any:
    """`benchmarks.models.large` as a module, with the weights of its file."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    def weights() -> Iterator[nn.Parameter]:
        for tensor in onnx.load_model_from_string(file).graph.initializer:
            values = numpy_helper.to_array(tensor)
            if (
                tensor.data_type == TensorProto.FLOAT and values.ndim and values.shape != (4,)
            ):  # no scales of Resize
                yield nn.Parameter(torch.from_numpy(values.copy()), requires_grad=False)

    class Norm(nn.Module):
        def __init__(self, given: Iterator[nn.Parameter]) -> None:
            super().__init__()
            # Not the fourth axis's: as a format of memory, channels last is for images and kernels.
            self.scale, self.shift = (
                nn.Parameter(next(given).flatten(1), requires_grad=False) for _ in range(2)
            )

        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            return F.relu(x * self.scale[label][:, :, None, None] + self.shift[label][:, :, None, None])

    class Convolution(nn.Module):
        def __init__(self, given: Iterator[nn.Parameter]) -> None:
            super().__init__()
            self.weight, self.bias = next(given), next(given)

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[2] // 2)

    class Block(nn.Module):
        def __init__(self, given: Iterator[nn.Parameter]) -> None:
            super().__init__()
            self.norm1, self.conv1 = Norm(given), Convolution(given)
            self.norm2, self.conv2 = Norm(given), Convolution(given)
            self.skip = Convolution(given)

        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            hidden = self.conv1(F.interpolate(self.norm1(x, label), scale_factor=2))
            return self.conv2(self.norm2(hidden, label)) + F.interpolate(self.skip(x), scale_factor=2)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            given = weights()
            self.embedding, self.linear, self.offset = next(given), next(given), next(given)
            self.blocks = nn.ModuleList(Block(given) for _ in pairwise(channels))
            self.norm, self.last = Norm(given), Convolution(given)
            assert next(given, None) is None

        def forward(self, z: Tensor, label: Tensor) -> Tensor:
            x = torch.cat([z, self.embedding[label]], 1) @ self.linear + self.offset
            x = x.view(len(z), channels[0], 4, 4)
            for block in self.blocks:
                x = block(x, label)
            x = torch.tanh(4 * self.last(self.norm(x, label)).float())
            return torch.round(127.5 * x + 127.5).to(torch.uint8)

    return Generator().eval()
