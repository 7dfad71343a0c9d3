"""Sessions as the engine makes them, or their stand-ins on the CPU provider; what they got; how fast they are."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.gpu.card import Card
from benchmarks.gpu.part import Part
from service.generator.contract import Contract, parse
from service.generator.engines import cuda, half
from service.generator.engines import ort as engines
from service.generator.engines.cuda import BoundPasses
from service.generator.engines.lone import inputs

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = "fashion-mnist"
_FEWEST = 3


def shipped() -> dict[str, bytes]:
    """Every model of this repository whose graph takes z, and perhaps a class, and no more; the default one first."""
    names = sorted(
        (path.parent.name for path in MODELS.glob("*/generator.onnx")), key=lambda n: (n != SHIPPED, n)
    )
    files = {name: (MODELS / name / "generator.onnx").read_bytes() for name in names}
    return {name: file for name, file in files.items() if parse(file).is_plain}


def session(part: Part, file: bytes, precision: str, **options: str) -> ort.InferenceSession:
    """Raises EngineUnavailable, or what ONNX Runtime raises."""
    if part.card:
        return engines.cuda_session(file, precision, 0, **options)
    plain = ort.SessionOptions()
    plain.log_severity_level = 3
    return ort.InferenceSession(
        half.convert(file) if precision == "fp16" else file, plain, providers=["CPUExecutionProvider"]
    )


class Rehearsal:
    """The CUDA engine with the CPU provider under it."""

    name = "onnxruntime"
    provider = "CPUExecutionProvider"
    reason = "the CPU provider stands in for CUDA"
    on_caller = False

    def __init__(self, part: Part, file: bytes, contract: Contract, precision: str, max_batch: int) -> None:
        self.precision, self.max_batch, self.buckets = precision, max_batch, cuda.buckets(max_batch)
        self.wide = BoundPasses(session(part, file, precision), contract, self.buckets, "cpu")
        self.lanes = [self.wide]


def engine(part: Part, file: bytes, contract: Contract, precision: str, max_batch: int) -> Any:
    """What serves this file: the real engine where there is a GPU, its lanes not measured: `ways` says what they bring."""
    if part.card is None:
        return Rehearsal(part, file, contract, precision, max_batch)
    return engines.OrtEngine(
        file, contract, cuda=True, precision=precision, threads=1, max_batch=max_batch, lanes=1
    )


def placement(file: bytes, contract: Contract, part: Part, precision: str) -> dict[str, Counter[str]]:
    """By provider, the operators that it ran in one pass of four images; by ONNX Runtime's own profile."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if part.card:
            providers = [
                (cuda.PROVIDER, cuda.OPTIONS | {"use_tf32": str(int(precision == "tf32"))}),
                *providers,
            ]
        one = ort.InferenceSession(
            half.convert(file) if precision == "fp16" else file, options, providers=providers
        )
        z, label = inputs(contract, 0, 4)
        one.run(None, {"z": z} if label is None else {"z": z, "label": label})
        events = json.loads(Path(one.end_profiling()).read_text())
    found: dict[str, Counter[str]] = {}
    for event in events:
        told = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and told.get("provider"):
            found.setdefault(told["provider"], Counter())[told["op_name"]] += 1
    return found


def rate(run: Callable[[], object], images: int, seconds: float, card: Card | None = None) -> dict[str, Any]:
    """Passes one after another for so long, three at least, or one where one is as long as that.

    images: of each. card: whose joules are counted, all of them, by a counter of coarse steps: for long runs.
    """
    run()  # a shape's first pass chooses algorithms and makes buffers
    times: list[float] = []
    energy = card.joules() if card else None
    begun = time.perf_counter()
    while (
        (passed := time.perf_counter() - begun) < seconds
        or not times
        or (len(times) < _FEWEST and passed < 2 * seconds)
    ):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    passed = time.perf_counter() - begun
    after = card.joules() if card else None
    joules = after - energy if after is not None and energy is not None else None
    return {
        "passes_per_second": len(times) / passed,
        "images_per_second": images * len(times) / passed,
        "p50_ms": 1000 * float(np.median(times)),
        "p99_ms": 1000 * float(np.quantile(times, 0.99)) if len(times) >= 100 else None,
        "images_per_joule": images * len(times) / joules if joules else None,
    }


def sweep(
    part: Part,
    what: str,
    make: Callable[[int], Callable[[], object]],
    batches: Sequence[int],
    seconds: float,
    keep: float = 0.0,
) -> dict[int, float]:
    """A row per batch size, smallest first, until time or memory ends. Returns images/s by size.

    make: of a size, a pass. keep: seconds of the part's time that are for what comes after.
    """
    found: dict[int, float] = {}
    expected = 0.0
    for batch in batches:
        if part.left() - keep < seconds + 2 * expected:
            part.leave_out(f"{what} of {batch} images and more: no time left")
            break
        try:
            run = make(batch)
            figures = rate(run, batch, seconds)
            used_mib = part.card.used_mib() if part.card else None
        except Exception as error:  # out of memory, in ONNX Runtime's words or PyTorch's
            part.leave_out(f"{what} of {batch} images and more: {str(error).strip()[:300]}")
            break
        part.row(what, batch=batch, **figures, memory_used_mib=used_mib)
        found[batch] = figures["images_per_second"]
        expected = 4 * figures["p50_ms"] / 1000
    return found
