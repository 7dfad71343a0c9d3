"""Which engine, precision and threads; and why, in words."""

import importlib.util
import math
import os
from pathlib import Path

from service.contract import Contract
from service.engines.engine import Engine
from service.errors import EngineUnavailable
from service.settings import Settings


def choose(file: bytes, contract: Contract, settings: Settings) -> Engine:
    """The engine for this file, as `settings.engine` and `settings.precision` ask.

    `auto` takes CUDA where a session gets it, then OpenVINO where it is installed, then ONNX Runtime on CPU.
    Raises EngineUnavailable: what was asked for by name is not there. There is no silent fall-back.
    """
    threads = settings.threads or cpu_threads(settings.workers)
    if settings.engine == "fake":
        from service.engines.fake import FakeEngine

        return FakeEngine(contract, lanes=threads)
    if settings.engine == "openvino":
        return _openvino(file, contract, settings, threads)
    from service.engines import ort

    cuda = ort.has_cuda()
    if settings.engine == "auto" and not cuda and importlib.util.find_spec("openvino"):
        return _openvino(file, contract, settings, threads)
    return ort.OrtEngine(file, contract, cuda=cuda, precision=settings.precision, threads=threads)


def _openvino(file: bytes, contract: Contract, settings: Settings, threads: int) -> Engine:
    if not importlib.util.find_spec("openvino"):
        raise EngineUnavailable("GANSERVE_ENGINE is openvino, which is not installed: pip install openvino.")
    from service.engines.ov import OpenVinoEngine

    return OpenVinoEngine(file, contract, precision=settings.precision, threads=threads)


def cpu_threads(workers: int) -> int:
    """Threads for one of `workers` processes, from the cores that this container may use."""
    return max(1, available_cpus() // workers)


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores by affinity and by cgroup quota. onnxruntime would count the host's (its issue 29510)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """Cores' worth of CPU time that the cgroup (v2, else v1) grants; infinite without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
