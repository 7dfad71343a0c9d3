"""Which engine, precision and threads; and why, in words."""

import importlib.util
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from service.errors import EngineUnavailable
from service.generator.contract import Contract, version
from service.generator.engine import Engine
from service.generator.engines import cuda, race
from service.generator.engines.lone import CLEARLY, inputs
from service.machine.hardware import gpu_names, lanes
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.engines")


class Choice(NamedTuple):
    """An engine that can serve, and what was measured to choose it, if anything was."""

    engine: Engine
    measured: race.Result | None = None


def choose(
    file: bytes,
    contract: Contract,
    settings: Settings,
    *,
    name: str = "",
    path: Path | None = None,
    file_version: str = "",
    worker: int = 0,
) -> Choice:
    """The engine for this file: the one that settings.engines names for this model, else settings.engine and precision.

    `auto` takes CUDA where there is a GPU; on CPU what is clearly the fastest for this file on this machine.
    path, file_version: of the file as it was found, for whoever measures it; `file` may have been rewired. worker: this process among `settings.workers`, from 0; worker i takes
    GPU i modulo the number of GPUs.
    Raises EngineUnavailable: what was asked for by name is not there. There is no silent fall-back.
    """
    threads = settings.threads or lanes(settings.workers)
    kind, precision = settings.engine_of(name)
    if kind == "fake":
        return Choice(_fake(contract, settings, threads))
    if kind != "openvino" and (gpus := cuda.device_count()):
        known = file_version or version(file)
        return _on_cuda(file, contract, settings, precision, threads, worker % gpus, known)
    candidates = _candidates(contract, kind, precision)
    measured = None
    if len(candidates) == 1:
        why = (
            "its weights lie beside it, which OpenVINO is not given" if contract.weights else _only(precision)
        )
        chosen, why = candidates[0], "" if kind != "auto" else why
    else:
        measured = race.result(path, file_version or version(file)) if path else None
        unproven = precision == "auto" and _BF16 not in candidates
        chosen, why = _fastest(candidates, measured, "on one core of this", unproven=unproven)
    engine = _made(*chosen, file, contract, threads)
    engine.reason += f" Chosen because {why}." if why else ""
    return Choice(engine, measured)


def again(engine: Engine, file: bytes, contract: Contract, settings: Settings, worker: int = 0) -> Engine:
    """Another of this engine's kind, precision, device and number of lanes, for the file as it gives everything (file/rewired.py)."""
    threads = settings.threads or lanes(settings.workers)
    if engine.name == "fake":
        return _fake(contract, settings, threads, everything=True)
    if engine.provider == cuda.PROVIDER:
        from service.generator.engines.ort import OrtEngine

        device, most = worker % cuda.device_count(), engine.max_batch
        return OrtEngine(
            *(file, contract),
            cuda=True,
            precision=engine.precision,
            threads=threads,
            device=device,
            max_batch=most,
            lanes=len(engine.lanes),
        )
    return _made(engine.name, engine.precision, file, contract, threads)


def prepare(paths: Sequence[Path], settings: Settings) -> None:
    """Begin to measure what is about to be chosen for these files, beside their loading."""
    if settings.engine == "auto" and not cuda.device_count():
        race.start(paths)


def _on_cuda(
    file: bytes,
    contract: Contract,
    settings: Settings,
    precision: str,
    threads: int,
    device: int,
    file_version: str,
) -> Choice:
    """In the precision that is asked for; `auto`: in the fastest of those that are as good, where it is clearly faster than fp32."""
    from service.generator.engines.ort import CUDA_PRECISIONS, OrtEngine

    def made(precision: str) -> OrtEngine:
        return OrtEngine(
            *(file, contract),
            cuda=True,
            precision=precision,
            threads=threads,
            device=device,
            max_batch=settings.max_batch,
        )

    able = [one for one in CUDA_PRECISIONS[1:] if is_as_good(contract, "onnxruntime", one)]
    if precision != "auto" or not able:
        return Choice(made(precision))

    def measure() -> race.Result:
        figures = []
        for one in ("fp32", *able):
            try:
                engine = made(one)
                given = inputs(contract, 0, engine.max_batch)
                speed = max(cuda.images_at_once(engine.lanes, given, one) for _ in range(2))
            except Exception as error:  # of its own kind for every operator that can't be converted
                log.info("onnxruntime in %s can't run it: %s", one, error, extra={"event": "engine_cannot"})
            else:
                figures.append(race.Figure("onnxruntime", one, speed))
            engine = None  # before the next takes memory
        return race.Result(card, sorted(figures, key=lambda figure: -figure.images_per_second))

    card = ", ".join(gpu_names())
    told = (card, race.release("onnxruntime-gpu"), file_version, str(settings.max_batch), *able)
    measured = race.remembered(told, measure)
    candidates = [("onnxruntime", one) for one in ("fp32", *able)]
    (_, precision), why = _fastest(candidates, measured, "of full passes on this")
    engine = made(precision)
    engine.reason += f" In {precision} because {why}."
    return Choice(engine)


def _candidates(contract: Contract, kind: str, precision: str) -> list[tuple[str, str]]:
    """Engines and precisions that may be taken on CPU; the first is the one that others must clearly beat."""
    openvino = [precision]
    if precision == "auto":
        openvino = ["fp32"] + ["bf16"] * is_as_good(contract, *_BF16)
    if kind == "openvino":
        return [(kind, one) for one in openvino]
    own = "fp32" if precision == "auto" else precision
    # Weights of any size lie beside a file, and OpenVINO takes 2 GiB at most.
    if kind == "onnxruntime" or contract.weights or not importlib.util.find_spec("openvino"):
        return [("onnxruntime", own)]
    return [("onnxruntime", own)] * (own == "fp32") + [("openvino", one) for one in openvino]


def _only(precision: str) -> str:
    if importlib.util.find_spec("openvino"):
        return f"ONNX Runtime has no {precision} on CPU"
    return "OpenVINO is not installed"


_BF16 = ("openvino", "bf16")


def _fastest(
    candidates: list[tuple[str, str]], measured: race.Result | None, where: str, *, unproven: bool = False
) -> tuple[tuple[str, str], str]:
    """Engine and precision, and why. where: the images per second were measured, in words. unproven: bf16 would be a candidate, were it not for the file's figures."""
    if measured is None:
        return candidates[0], "no other could be measured on this machine"
    speed = {(one.engine, one.precision): one.images_per_second for one in measured.figures}
    told = ", ".join(f"{' '.join(one)} {images:,.0f}" for one, images in speed.items())
    told = f"images/s {where} {measured.cpu}: {told}"
    able = [one for one in candidates if one in speed]
    if not able:
        return candidates[0], f"no other can run this file; {told}"
    fastest = max(able, key=speed.__getitem__)
    if fastest == able[0] or speed[fastest] < CLEARLY * speed[able[0]]:
        fastest, why = able[0], f"nothing else that may be taken is {CLEARLY:g} times as fast"
    else:
        why = "it is clearly the fastest that may be taken"
    if unproven and speed.get(_BF16, 0) >= CLEARLY * speed[fastest]:
        why += f" ({' '.join(_BF16)} may not: the file's figures do not show its images to be as good)"
    return fastest, f"{why}; {told}"


def _fake(contract: Contract, settings: Settings, threads: int, everything: bool = False) -> Engine:
    from service.generator.engines.fake import FakeEngine

    faults = Path(settings.fake_faults) if settings.fake_faults else None
    return FakeEngine(contract, lanes=threads, faults=faults, everything=everything)


def _made(kind: str, precision: str, file: bytes, contract: Contract, threads: int) -> Engine:
    if kind == "onnxruntime":
        from service.generator.engines.ort import OrtEngine

        return OrtEngine(file, contract, cuda=False, precision=precision, threads=threads)
    if not importlib.util.find_spec("openvino"):
        raise EngineUnavailable("GANSERVE_ENGINE is openvino, which is not installed: pip install openvino.")
    from service.generator.engines.ov import OpenVinoEngine

    return OpenVinoEngine(file, contract, precision=precision, threads=threads)


class _Figure(msgspec.Struct):
    value: float
    error: float


class _Run(msgspec.Struct):
    engine: str
    precision: str
    figures: dict[str, _Figure]


def is_as_good(contract: Contract, engine: str, precision: str) -> bool:
    """Whether the file says that this engine's images in `precision` were measured, and are as good as those in fp32.

    `quality["precisions"]`, optional, is a list of {"engine": ..., "precision": ..., "figures": {name: {"value": ...,
    "error": ...}}}: openvino's are of a CPU, onnxruntime's of CUDA; error is one standard error of the value. As good:
    the same figures in both, and none further apart than the error of their difference.
    """
    try:
        runs = msgspec.convert(contract.quality.get("precisions", []), list[_Run])
    except msgspec.ValidationError:  # of another's making: as good as not measured
        return False
    figures = {run.precision: run.figures for run in runs if run.engine == engine}
    fp32, other = figures.get("fp32", {}), figures.get(precision, {})
    return (
        len(fp32) > 0
        and fp32.keys() == other.keys()
        and all(
            abs(fp32[name].value - other[name].value) <= math.hypot(fp32[name].error, other[name].error)
            for name in fp32
        )
    )
