"""The same passes in other ways: without IO binding, pinned, as a CUDA graph, on several lanes, NHWC, TensorRT; and copies apart."""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.gpu import networks, sessions
from benchmarks.gpu.part import Part
from service.generator.contract import Contract, parse
from service.generator.engines import cuda
from service.generator.engines.cuda import BoundPasses
from service.generator.engines.lone import inputs

_SECONDS = 0.3
_BATCHES = (1, 16, 64, 256)
_MOST_LANES = 4
_TENSORRT = "TensorrtExecutionProvider"
_TENSORRT_SECONDS = 15.0
_DEVICE_TO_HOST = 2
Pass = Callable[[], object]


def run(part: Part, large: tuple[float, int] = (10, 128)) -> None:
    """large: million parameters and pixels of what is measured beside the default model."""
    models = {
        sessions.SHIPPED: sessions.shipped()[sessions.SHIPPED],
        networks.name(*large): networks.make(*large),
    }
    asked = [(name, "fp32") for name in models]
    if part.card:
        asked = [(sessions.SHIPPED, "fp32"), *((name, "fp16") for name in models)]
    for place, (name, precision) in enumerate(asked):
        keep = part.left() * (1 - 1 / (len(asked) - place))
        if part.has_time(f"{name} in {precision}", 2):
            _ways(part, f"{name} in {precision}", models[name], precision, keep)
    for name, file in models.items():
        _tensorrt(part, name, file, parse(file))


def _ways(part: Part, what: str, file: bytes, precision: str, keep: float) -> None:
    contract = parse(file)
    session = sessions.session(part, file, precision)

    def bound(batch: int, options: dict[str, str] | None = None) -> Pass:
        one = sessions.session(part, file, precision, **options) if options else session
        return _bound(one, contract, batch, part)

    ways: dict[str, Callable[[int], Pass]] = {
        "plain run": lambda n: _plain(session, contract, n),
        "IO binding": bound,
    }
    if part.card:
        ways["pinned memory"] = lambda n: _pinned(session, contract, n)
        # A graph is of one shape, and stays with the thread that captured it.
        ways["CUDA graph"] = lambda n: bound(n, {"enable_cuda_graph": "1"})
        ways["NHWC"] = lambda n: bound(n, {"prefer_nhwc": "1"})
    else:
        part.leave_out(f"{what}: pinned memory, CUDA graphs and NHWC, which need CUDA")
    # Half of the time for these.
    later = keep + (part.left() - keep) / 2
    for place, (name, way) in enumerate(ways.items()):
        most = (part.left() - later) / (len(ways) - place)
        sessions.sweep(part, f"{what}, {name}", way, _BATCHES, _SECONDS, part.left() - most)
    _copies(part, what, session, contract, keep)
    _lanes(part, what, file, contract, precision, keep)


def _plain(session: ort.InferenceSession, contract: Contract, batch: int) -> Pass:
    z, label = inputs(contract, 0, batch)
    feed = {"z": z} if label is None else {"z": z, "label": label}
    return lambda: session.run(None, feed)


def _bound(session: ort.InferenceSession, contract: Contract, batch: int, part: Part) -> Pass:
    passes, given = BoundPasses(session, contract, (batch,), part.device), inputs(contract, 0, batch)
    return lambda: passes(*given)


def _values(session: ort.InferenceSession, contract: Contract, batch: int, device: str) -> Any:
    """A binding, what is bound to it as input beside its rows on the host, and its output."""
    z, label = inputs(contract, 0, batch)
    image = contract.image
    binding = session.io_binding()
    pairs = [
        (rows, ort.OrtValue.ortvalue_from_numpy(rows, device, 0)) for rows in (z, label) if rows is not None
    ]
    for name, (_, value) in zip(("z", "label"), pairs, strict=False):
        binding.bind_ortvalue_input(name, value)
    out = ort.OrtValue.ortvalue_from_shape_and_type(
        (batch, image.channels, image.height, image.width), np.uint8, device, 0
    )
    binding.bind_ortvalue_output("image", out)
    return binding, pairs, out


def _copies(part: Part, what: str, session: ort.InferenceSession, contract: Contract, keep: float) -> None:
    for batch in (1, 64, 256):
        if not part.has_time(f"{what}, copies of {batch}", keep + 1):
            return None
        try:
            binding, pairs, out = _values(session, contract, batch, part.device)
            steps: dict[str, Pass] = {
                "in": lambda pairs=pairs: [value.update_inplace(rows) for rows, value in pairs],
                "graph": lambda binding=binding: session.run_with_iobinding(binding),
                "out": lambda out=out: out.numpy(),
            }
            times = {f"{name}_ms": sessions.rate(step, batch, 0.1)["p50_ms"] for name, step in steps.items()}
        except Exception as error:  # out of memory
            return part.leave_out(f"{what}, copies of {batch}: {error}")
        part.row(f"{what}, copies apart", batch=batch, **times)
    return None


def _lanes(part: Part, what: str, file: bytes, contract: Contract, precision: str, keep: float) -> None:
    """One to four at once, each on a thread of its own: lanes of one session, as the engine's are, and sessions."""
    made: list[ort.InferenceSession] = []
    for count in range(1, _MOST_LANES + 1):
        if not part.has_time(f"{what}, {count} lanes and more", keep + 3):
            return None
        try:
            made.append(sessions.session(part, file, precision))
            for name, each in ("lanes", made[:1] * count), ("sessions", made):
                for batch in (16, 64):
                    images = _at_once([_bound(one, contract, batch, part) for one in each], batch)
                    used_mib = part.card.used_mib() if part.card else None
                    part.row(
                        f"{what}, {count} {name} at once",
                        batch=batch,
                        images_per_second=images,
                        memory_used_mib=used_mib,
                    )
            if count == 2:
                _judge_lanes(part, what, made[0], contract, precision)
        except Exception as error:  # out of memory
            return part.leave_out(f"{what}, {count} lanes: {error}")
    return None


def _judge_lanes(
    part: Part, what: str, session: ort.InferenceSession, contract: Contract, precision: str
) -> None:
    """Two draw at once what one draws alone; and how many the engine takes when it loads such a file."""
    batch = 64
    two = [BoundPasses(session, contract, (batch,), part.device) for _ in range(2)]
    given = inputs(contract, 0, batch)
    try:
        cuda.images_at_once(two, given, precision)
    except cuda.OtherPictures:
        part.check(f"{what}, 2 lanes", False, "at once they draw other pictures than one alone")
    else:
        part.check(f"{what}, 2 lanes", True, "at once they draw the pictures of one alone")
    found = cuda.lanes(lambda count: cuda.images_at_once(two[:count], given, precision), batch)
    part.row(f"{what}, lanes that the engine takes", batch=batch, lanes=found.count, measured=found.measured)


def _at_once(passes: list[Pass], batch: int) -> float:
    """Images per second of all together."""
    for one in passes:
        one()
    lanes = len(passes)
    counts, end = [0] * lanes, time.perf_counter() + _SECONDS

    def work(lane: int) -> None:
        while time.perf_counter() < end or not counts[lane]:
            passes[lane]()
            counts[lane] += 1

    begun = time.perf_counter()
    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return batch * sum(counts) / (time.perf_counter() - begun)


def _pinned(session: ort.InferenceSession, contract: Contract, batch: int) -> Pass:
    """Host rows in memory that CUDA has pinned, which it copies from and to without a buffer of its own."""
    runtime = _cuda_runtime()
    binding, pairs, out = _values(session, contract, batch, "cuda")
    image = np.empty(out.shape(), np.uint8)
    for rows in (image, *(rows for rows, _ in pairs)):
        if code := runtime.cudaHostRegister(
            ctypes.c_void_p(rows.ctypes.data), ctypes.c_size_t(rows.nbytes), 0
        ):
            raise RuntimeError(f"cudaHostRegister: {code}")
    source, target = ctypes.c_void_p(out.data_ptr()), ctypes.c_void_p(image.ctypes.data)
    # Registered for as long as the process lives, so the array must be too.
    _kept.extend((image, *(rows for rows, _ in pairs)))

    def forward() -> None:
        for rows, value in pairs:
            value.update_inplace(rows)
        session.run_with_iobinding(binding)
        if code := runtime.cudaMemcpy(target, source, ctypes.c_size_t(image.nbytes), _DEVICE_TO_HOST):
            raise RuntimeError(f"cudaMemcpy: {code}")

    return forward


_kept: list[Any] = []


def _cuda_runtime() -> Any:
    """The library that ONNX Runtime has loaded already."""
    for name in ("libcudart.so.12", "libcudart.so.13", "libcudart.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError("libcudart is not found")


def _tensorrt(part: Part, name: str, file: bytes, contract: Contract) -> None:
    what = f"{name}, TensorRT"
    if _TENSORRT not in ort.get_available_providers():
        return part.leave_out(f"{what}: this ONNX Runtime was built without it")
    for precision, asked in (("fp16", {"trt_fp16_enable": "1"}), ("bf16", {"trt_bf16_enable": "1"})):
        if not part.has_time(f"{what} in {precision}", _TENSORRT_SECONDS):
            return None
        try:
            quiet = ort.SessionOptions()
            quiet.log_severity_level = 3
            providers: list[Any] = [(_TENSORRT, asked), (cuda.PROVIDER, cuda.OPTIONS), "CPUExecutionProvider"]
            session = ort.InferenceSession(file, quiet, providers=providers)
        except Exception as error:  # its libraries are not there, or not of this version
            return part.leave_out(f"{what}: {str(error)[:300]}")
        if session.get_providers()[0] != _TENSORRT:
            return part.leave_out(f"{what}: its libraries (libnvinfer) are not there")
        begun = time.perf_counter()
        sessions.sweep(
            part, f"{what} in {precision}", lambda n, s=session: _bound(s, contract, n, part), (64,), _SECONDS
        )
        part.row(f"{what} in {precision}, building its engine too", seconds=time.perf_counter() - begun)
    return None
