"""Whether a run fits into memory, before it takes any: the kernel ends without a word what takes too much."""

from pathlib import Path
from typing import Any

import psutil
import torch
from torch.overrides import TorchFunctionMode

from training.errors import UserError
from training.gan.networks import build_discriminator, build_generator
from training.settings import ImageSpec, Settings

_FLOAT_BYTES = 4
# The weights, their gradient, and Adam's two means of it.
_COPIES = 4
_GB = 1e9


def check_fits(settings: Settings, spec: ImageSpec, device: torch.device) -> None:
    """Raises UserError where not even the weights and one batch at full width would find room."""
    try:
        with torch.device("meta"), ShapesOnly():
            networks = build_generator(settings, spec), build_discriminator(settings, spec)
        weights = sum(weight.numel() for network in networks for weight in network.parameters())
    except (RuntimeError, TypeError, OverflowError) as error:  # sizes beyond 64 bits
        raise UserError(
            f"width {settings.width}, z_dim {settings.z_dim}: no machine has room for that"
        ) from error
    numbers = weights * _COPIES + settings.batch * spec.height * spec.width * (settings.width + spec.channels)
    needed, free = numbers * _FLOAT_BYTES, free_bytes(device)
    if needed > free:
        raise UserError(
            f"the run needs {needed / _GB:,.1f} GB and {free / _GB:,.1f} GB are free: "
            f"a smaller --set width= (now {settings.width}), z_dim ({settings.z_dim}) or --batch ({settings.batch})"
        )


class ShapesOnly(TorchFunctionMode):
    """Nothing is drawn into weights that hold nothing: some of it would be compiled first, for ten seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        if name == "normalize" or (name.endswith("_") and not name.endswith("__")):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def free_bytes(device: torch.device) -> int:
    """Of the accelerator, or of this machine and of this container of it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text("ascii") for name in ("memory.max", "memory.current"))
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or one without a limit
        return free
