"""The raw limit: the forward pass alone, in one process, without HTTP, queue or encoding.

python -m benchmarks.comparison.raw_limit FILE ENGINE PRECISION SECONDS    prints a RawLimit as JSON
python -m benchmarks.comparison.raw_limit FILE auto                        prints Facts as JSON
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

BATCHES = (1, 2, 4, 8, 16, 32)


class RawLimit(msgspec.Struct, frozen=True):
    """What the engine gives when nothing stands in front of it."""

    engine: str
    precision: str
    images_per_second: float
    """At the best batch size, one single-threaded session a core, all running."""
    batch: int
    """That batch size."""
    pass_ms: float
    """A pass of one image while nothing else runs: median, on one thread or all, whichever is faster."""
    p99_ms: float
    """The same pass, 99th percentile."""
    memory_mb: float
    """PSS of this process with a session a core, after passes of up to 8 images."""
    ready_seconds: float
    """From the start of this process to the first image."""


class Facts(msgspec.Struct, frozen=True):
    """What a server's start needs to know of a model file."""

    z_dim: int
    default_engine: str
    """What ganserve picks with default settings, on the CPU."""
    default_precision: str


Pass = Callable[[dict], object]
Make = Callable[[str, str, int, int], list[Pass]]
"""file, precision, lanes, threads a lane -> one function a lane."""


def onnxruntime_passes(file: str, precision: str, lanes: int, threads: int) -> list[Pass]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    sessions = [ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for _ in range(lanes)]
    return [lambda feed, session=session: session.run(None, feed) for session in sessions]


def openvino_passes(file: str, precision: str, lanes: int, threads: int) -> list[Pass]:
    import openvino as ov

    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision],
        "INFERENCE_NUM_THREADS": lanes * threads,
        "NUM_STREAMS": lanes,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = ov.Core().compile_model(file, "CPU", options)
    requests = [compiled.create_infer_request() for _ in range(lanes)]
    return [
        lambda feed, request=request: request.infer(feed, share_inputs=True, share_outputs=True)
        for request in requests
    ]


ENGINES: dict[str, Make] = {"onnxruntime": onnxruntime_passes, "openvino": openvino_passes}


def images_per_second(passes: list[Pass], feed: dict, seconds: float) -> float:
    """All lanes at once, each on a thread of its own; each makes one pass at least."""
    count = [0] * len(passes)
    end = time.perf_counter() + seconds

    def run(lane: int) -> None:
        while time.perf_counter() < end or not count[lane]:
            passes[lane](feed)
            count[lane] += 1

    begun = time.perf_counter()
    threads = [threading.Thread(target=run, args=(lane,)) for lane in range(len(passes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count) * len(feed["label"]) / (time.perf_counter() - begun)


def pass_ms(run: Pass, feed: dict, seconds: float) -> tuple[float, float]:
    """Median and 99th percentile of a pass."""
    times_ms = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times_ms) < 20:
        begun = time.perf_counter()
        run(feed)
        times_ms.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times_ms), statistics.quantiles(times_ms, n=100)[98]


def measure(file: str, engine: str, precision: str, seconds: float) -> RawLimit:
    """`seconds` is for the whole sweep, after which the best two batch sizes are looked at for as long again."""
    import psutil

    from service.generator.contract import parse
    from service.generator.latents import latents
    from service.machine.hardware import available_cpus

    contract = parse(Path(file).read_bytes())
    cores = available_cpus()

    def feed(n: int) -> dict:
        import numpy as np

        return {"z": latents(range(n), contract.z_dim), "label": np.arange(n) % contract.class_count}

    lanes = ENGINES[engine](file, precision, cores, 1)
    lanes[0](feed(1))
    process = psutil.Process()
    ready_seconds = time.time() - process.create_time()
    images_per_second(lanes, feed(8), 0)
    memory_mb = process.memory_full_info().pss / 1e6
    alone = min(
        pass_ms(ENGINES[engine](file, precision, 1, threads)[0], feed(1), seconds / 4)
        for threads in sorted({1, cores})
    )
    sweep = {n: images_per_second(lanes, feed(n), seconds / len(BATCHES)) for n in BATCHES}
    for n in sorted(sweep, key=sweep.__getitem__)[-2:]:
        sweep[n] = images_per_second(lanes, feed(n), seconds / 2)
    best = max(sweep, key=sweep.__getitem__)
    return RawLimit(engine, precision, sweep[best], best, *alone, memory_mb, ready_seconds)


def facts(file: str) -> Facts:
    """Asks ganserve's own choice."""
    from service.generator.contract import parse
    from service.generator.engines.choose import choose
    from service.settings import Settings

    content = Path(file).read_bytes()
    contract = parse(content)
    engine, _ = choose(content, contract, Settings(), path=Path(file))
    return Facts(contract.z_dim, engine.name, engine.precision)


if __name__ == "__main__":
    if sys.argv[2] == "auto":
        result: object = facts(sys.argv[1])
    else:
        result = measure(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
    print(msgspec.json.encode(result).decode())
