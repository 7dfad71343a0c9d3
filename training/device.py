"""What a run computes on, and in which arithmetic."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from training.errors import UserError
from training.processes import local_rank

Autocast = Callable[[], AbstractContextManager]


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA if there is one, else the CPU. Raises UserError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device on this machine")
    # Of this machine, a process of torchrun's has the GPU of its number.
    if name == "cuda" and local_rank() >= torch.cuda.device_count():
        raise UserError(f"this machine has {torch.cuda.device_count()} GPUs: no more --nproc-per-node")
    return torch.device(name, local_rank()) if name == "cuda" else torch.device(name)


def choose_precision(precision: str, device: torch.device) -> tuple[Autocast, str]:
    """The arithmetic to train in, as a context, and its name.

    bf16 autocast pays where the hardware multiplies bf16: with AMX a fifth of fp32's time; emulated, on AVX2, 15 times.
    """
    if precision == "bf16" or (precision == "auto" and multiplies_bf16(device)):
        return lambda: torch.autocast(device.type, torch.bfloat16), "bf16 autocast"
    return contextlib.nullcontext, "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    # The two predicates have no public name yet.
    by_cpu = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" or by_cpu
