"""Which engine, precision and threads; and why, in words."""

import importlib.util
import math
import os
from collections.abc import Set
from pathlib import Path

import msgspec

from service.contract import Contract
from service.engines import cuda
from service.engines.engine import Engine
from service.errors import EngineUnavailable
from service.settings import Settings

# By kind of CPU and not by a measurement at start, so that equal machines choose alike and draw equal images.
_AVX512 = "this CPU has AVX512, and on two such cores OpenVINO gave 4,156 images/s, ONNX Runtime 2,246 (docs/performance.md)"
_NO_AVX512 = (
    "this CPU has no AVX512, and on two such cores ONNX Runtime gave 3,700 images/s, OpenVINO 2,930 to 3,450 "
    "(docs/performance.md)"
)


def choose(file: bytes, contract: Contract, settings: Settings, worker: int = 0) -> Engine:
    """The engine for this file, as `settings.engine` and `settings.precision` ask.

    `auto` takes CUDA where there is a GPU; on CPU the faster of the two engines, by whether it has AVX512.
    worker: this process among `settings.workers`, from 0; worker i takes GPU i modulo the number of GPUs.
    Raises EngineUnavailable: what was asked for by name is not there. There is no silent fall-back.
    """
    threads = settings.threads or cpu_threads(settings.workers)
    if settings.engine == "fake":
        from service.engines.fake import FakeEngine

        return FakeEngine(
            contract, lanes=threads, faults=Path(settings.fake_faults) if settings.fake_faults else None
        )
    if settings.engine == "openvino":
        return _openvino(file, contract, settings.precision, threads)
    gpus = cuda.device_count()
    if settings.engine == "auto" and not gpus:
        return _faster_on_cpu(file, contract, settings.precision, threads)
    from service.engines.ort import OrtEngine

    return OrtEngine(
        file,
        contract,
        cuda=gpus > 0,
        precision=settings.precision,
        threads=threads,
        device=worker % max(1, gpus),
        max_batch=settings.max_batch,
    )


def _faster_on_cpu(file: bytes, contract: Contract, precision: str, threads: int) -> Engine:
    avx512 = "avx512f" in cpu_flags()
    if not importlib.util.find_spec("openvino"):
        openvino, why = False, "OpenVINO is not installed"
    elif precision not in ("auto", "fp32"):
        openvino, why = True, f"ONNX Runtime has no {precision} on CPU"
    else:
        openvino, why = avx512, _AVX512 if avx512 else _NO_AVX512
    if openvino:
        engine = _openvino(file, contract, precision, threads)
    else:
        from service.engines.ort import OrtEngine

        engine = OrtEngine(file, contract, cuda=False, precision=precision, threads=threads)
    engine.reason += f" Chosen because {why}."
    return engine


def _openvino(file: bytes, contract: Contract, precision: str, threads: int) -> Engine:
    if not importlib.util.find_spec("openvino"):
        raise EngineUnavailable("GANSERVE_ENGINE is openvino, which is not installed: pip install openvino.")
    from service.engines.ov import OpenVinoEngine

    # AMX, since bf16 was faster there; what AVX512 alone makes of it was not measured.
    if precision == "auto":
        precision = "bf16" if "amx_bf16" in cpu_flags() and bf16_is_as_good(contract) else "fp32"
    return OpenVinoEngine(file, contract, precision=precision, threads=threads)


class _Figure(msgspec.Struct):
    value: float
    error: float


class _Run(msgspec.Struct):
    engine: str
    precision: str
    figures: dict[str, _Figure]


def bf16_is_as_good(contract: Contract) -> bool:
    """Whether the file says that OpenVINO's images in bf16 were measured, and are as good as those in fp32.

    `quality["precisions"]`, optional, is a list of {"engine": "openvino", "precision": "fp32" or "bf16",
    "figures": {name: {"value": ..., "error": ...}}}, error being one standard error of the value. As good:
    the same figures in both, and none further apart than the error of their difference. Nothing in this
    repository writes it: no CPU with bf16 was at hand to measure on.
    """
    try:
        runs = msgspec.convert(contract.quality.get("precisions", []), list[_Run])
    except msgspec.ValidationError:  # of another's making: as good as not measured
        return False
    figures = {run.precision: run.figures for run in runs if run.engine == "openvino"}
    fp32, bf16 = figures.get("fp32", {}), figures.get("bf16", {})
    return (
        len(fp32) > 0
        and fp32.keys() == bf16.keys()
        and all(
            abs(fp32[name].value - bf16[name].value) <= math.hypot(fp32[name].error, bf16[name].error)
            for name in fp32
        )
    )


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> Set[str]:
    """What the first core can do, in Linux's words, such as `avx512f`; empty where there is no such file."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


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
