"""Which card, driver and versions; which provider the session got, node by node."""

import ctypes
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

import onnxruntime as ort

from benchmarks.gpu import sessions
from benchmarks.gpu.part import Part
from service.errors import EngineUnavailable
from service.generator.contract import parse
from service.generator.engines import cuda

_PACKAGES = (
    *("onnxruntime-gpu", "onnxruntime", "onnx", "numpy", "pillow", "msgspec", "torch", "tensorrt", "bentoml"),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime"),
)
_HEAVY = {"Conv", "ConvTranspose", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "Resize", "NhwcConv"}


def run(part: Part) -> None:
    part.row("machine", python=platform.python_version(), system=platform.platform(), **_versions())
    if part.card:
        part.row("card", **part.card.facts())
    part.row(
        "providers", built=ort.get_available_providers(), built_for_cuda=getattr(ort, "cuda_version", None)
    )
    _torch(part)
    _nvidia_smi(part)
    for name, file in _two_kinds().items():
        for precision in part.precisions:
            if part.has_time(f"{name} in {precision}", 2):
                _placement(part, name, file, precision)
    if part.card:
        part.row("libraries", cudnn=_cudnn_version())


def _two_kinds() -> dict[str, bytes]:
    """The default model, and one of plain transposed convolutions."""
    every = sessions.shipped()
    return {name: every[name] for name in (sessions.SHIPPED, "dcgan") if name in every}


def _placement(part: Part, name: str, file: bytes, precision: str) -> None:
    contract = parse(file)
    if part.card:
        try:  # the engine's own way to a session, which refuses a silent fall-back
            sessions.session(part, file, precision)
        except EngineUnavailable as error:
            part.check(f"{name} {precision} on the GPU", False, str(error))
            return
        except Exception as error:  # a library that is not there, a driver that is too old
            part.check(f"{name} {precision} on the GPU", False, f"no session: {error}")
            return
    found = sessions.placement(file, contract, part, precision)
    copies = sum(
        count for nodes in found.values() for name, count in nodes.items() if name.startswith("Memcpy")
    )
    counts = {provider: sum(nodes.values()) for provider, nodes in found.items()}
    part.row(f"nodes of {name} in {precision}", **counts, memcpy=copies, by_provider=found)
    want = cuda.PROVIDER if part.card else "CPUExecutionProvider"
    strays = {op: count for provider in found for op, count in found[provider].items() if provider != want}
    text = f"{counts}, {copies} copies between host and device; elsewhere: {strays or 'none'}"
    part.check(f"{name} {precision} computes on {want}", not _HEAVY & strays.keys() and want in found, text)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _torch(part: Part) -> None:
    try:
        import torch
    except ImportError:
        part.leave_out("PyTorch is not installed")
        return
    facts: dict[str, Any] = {"cuda": torch.version.cuda, "sees_gpu": torch.cuda.is_available()}
    if part.card and facts["sees_gpu"]:
        properties = torch.cuda.get_device_properties(0)
        facts |= {"cudnn": torch.backends.cudnn.version(), "card": properties.name}
        facts |= {
            "compute": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
        }
    part.row("torch", **facts)


def _nvidia_smi(part: Part) -> None:
    if part.card is None:
        return
    try:
        shown = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        part.leave_out(f"nvidia-smi: {error}")
        return
    part.row("nvidia-smi", lines=shown.stdout.splitlines())


def _cudnn_version() -> str | None:
    """Of the library that the session above has loaded."""
    for number in (9, 8):
        try:
            version = ctypes.CDLL(f"libcudnn.so.{number}").cudnnGetVersion
        except (OSError, AttributeError):
            continue
        version.restype = ctypes.c_size_t
        return str(version())
    print("libcudnn is not found by name", file=sys.stderr)
    return None
