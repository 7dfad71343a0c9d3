"""ONNX Runtime, on CPU or CUDA."""

import os
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.contract import Contract
from service.engines.engine import Forward
from service.errors import EngineUnavailable

CPU_MAX_BATCH = 8  # past 4 images a CPU pass gains nothing; smaller passes keep the wait for a lane short
CUDA_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

# EXHAUSTIVE, the default, searches anew at every new shape: 634 ms against 1.9 ms (PaddleX PR 5057).
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}


class OrtEngine:
    """One session that every lane shares, each run on its caller's thread; and one that takes all threads."""

    name = "onnxruntime"

    def __init__(self, file: bytes, contract: Contract, *, cuda: bool, precision: str, threads: int) -> None:
        """Raises EngineUnavailable: a precision that is not to be had, or CUDA that the session did not get."""
        self._conditional = contract.classes is not None
        if cuda:
            self._init_cuda(file, precision)
        else:
            self._init_cpu(file, precision, threads)

    def _init_cpu(self, file: bytes, precision: str, threads: int) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineUnavailable(f"onnxruntime on CPU computes in fp32, not in {precision}.")
        self.precision = "fp32"
        self.provider = "CPUExecutionProvider"
        narrow = _session(file, [self.provider], threads=1)
        self.wide = self._forward(
            narrow if threads == 1 else _session(file, [self.provider], threads=threads)
        )
        self.lanes: Sequence[Forward] = [self._forward(narrow)] * threads
        self.max_batch = CPU_MAX_BATCH
        self.buckets: Sequence[int] = ()
        self.reason = f"onnxruntime on CPU: {threads} passes at once on a thread each, a lone one on all {threads} threads."

    def _init_cuda(self, file: bytes, precision: str) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineUnavailable(f"onnxruntime on CUDA computes this file in fp32, not in {precision}.")
        self.precision = "fp32"
        self.provider = "CUDAExecutionProvider"
        ort.preload_dlls()
        options = _CUDA_OPTIONS | {"use_tf32": "0"}
        session = _session(file, [(self.provider, options), "CPUExecutionProvider"], threads=1)
        got = session.get_providers()[0]
        if got != self.provider:  # the fall-back to CPU is silent (onnxruntime issue 23372)
            raise EngineUnavailable(f"onnxruntime gave {got} instead of {self.provider}.")
        self.buckets = CUDA_BUCKETS
        self.max_batch = CUDA_BUCKETS[-1]
        self.wide = self._forward(session)
        self.lanes = [self.wide]
        self.reason = "onnxruntime on CUDA: the session got the device."

    def _forward(self, session: ort.InferenceSession) -> Forward:
        def forward(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
            count = len(z)
            size = bucket(count, self.buckets)
            feed: dict[str, NDArray] = {"z": pad(z, size)}
            if self._conditional:
                assert label is not None
                feed["label"] = pad(label, size)
            images = session.run(None, feed)[0]
            assert isinstance(images, np.ndarray)
            return images[:count]

        return forward


def bucket(count: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `count`, or `count` itself where none does."""
    return next((size for size in buckets if size >= count), count)


def pad(rows: NDArray, size: int) -> NDArray:
    """rows [N, ...] with its last row repeated up to `size`: a latent and label that are known to be valid."""
    return (
        rows if len(rows) == size else np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
    )


def has_cuda() -> bool:
    """Whether a session may get CUDA: the wheel has it, and the driver shows a device."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():  # lists it also where no GPU is
        return False
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetCount() > 0
    except pynvml.NVMLError:
        return False


def _session(file: bytes, providers: list, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool burns the core that the event loop and the encoders need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=providers)
