"""What this process may use of the machine: CPU cores and their kind, GPUs. Imports no engine."""

import math
import os
import platform
import re
from collections.abc import Set
from importlib import metadata
from itertools import takewhile
from pathlib import Path

MOST_WORKERS = 4
_CPUINFO = Path("/proc/cpuinfo")


def default_workers() -> int:
    """One per GPU that onnxruntime may use; else one per core, four at most.

    One process can't use two cores well: its Python runs on one at a time (docs/performance.md). More than four
    would cost their memory and bring little: each has several cores then.
    """
    return gpus() if has_gpu_runtime() and gpus() else min(MOST_WORKERS, available_cpus())


def lanes(workers: int) -> int:
    """Passes that one of `workers` processes may run at once on CPU: its part of the cores, and as many of the others' idle ones."""
    cores = available_cpus()
    return min(cores, 2 * math.ceil(cores / workers))


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores by affinity and by cgroup quota. onnxruntime would count the host's (its issue 29510)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, quota(cgroup))))


def memory_limit_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """What the cgroup (v2, else v1) may have; infinite without a limit."""
    text = _read(cgroup / "memory.max") or _read(cgroup / "memory/memory.limit_in_bytes")
    return int(text) if text.strip().isdigit() else math.inf


def out_of_memory_kills(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Processes of the cgroup (v2, else v1) that the kernel ended because its memory limit was met."""
    text = _read(cgroup / "memory.events") or _read(cgroup / "memory/memory.oom_control")
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def cpu_name() -> str:
    """As `AMD EPYC`: what the first core is called, without trademark signs and frequency."""
    found = re.search(r"^model name\s*: (.*)$", _read(_CPUINFO), re.MULTILINE)
    name = found[1] if found else platform.processor() or platform.machine()
    return " ".join(re.sub(r"\(R\)|\(TM\)|\bCPU\b|@.*", " ", name).split())


def cpu_flags(cpuinfo: Path = _CPUINFO) -> Set[str]:
    """What the first core can do, in Linux's words, such as `avx512f`; empty where there is no such file."""
    lines = _read(cpuinfo).splitlines()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def has_gpu_runtime() -> bool:
    """Whether the onnxruntime that is installed is the one for CUDA."""
    try:
        metadata.version("onnxruntime-gpu")
    except metadata.PackageNotFoundError:
        return False
    return True


def gpus() -> int:
    """NVIDIA GPUs that the driver shows, and CUDA_VISIBLE_DEVICES lets through."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    # NVML does not know the variable. CUDA ends the list at the first entry that is no device.
    indices = {str(index) for index in range(count)}
    names = (name.strip() for name in visible.split(","))
    return len([*takewhile(lambda name: name in indices or name.startswith(("GPU-", "MIG-")), names)])


def gpu_names() -> list[str]:
    """Of every GPU that the driver shows, whichever of them CUDA will; none without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def quota(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of CPU time that the cgroup (v2, else v1) grants; infinite without a limit."""
    try:
        granted, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    return math.inf if granted in ("max", "-1") else int(granted) / int(period)
