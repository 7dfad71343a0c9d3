"""What every peer does for a request, so that each does ganserve's work: seed -> z, forward pass, PNG or npy.

BENCH_FILE, BENCH_ENGINE, BENCH_PRECISION and BENCH_THREADS say with what; workers and batching have
variables of their own where a server takes them.
"""

import os
from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

from service.generator import images
from service.generator.latents import latents

WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))
MAX_BATCH = int(os.environ.get("BENCH_MAX_BATCH", "64"))
PORT = int(os.environ.get("BENCH_PORT", "8000"))
Z_DIM = int(os.environ.get("BENCH_Z_DIM", "64"))


class Request(TypedDict):
    """The fields of ganserve's request that the load uses."""

    label: int
    n: int
    seed: int
    format: str


Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""z float32 [N, z_dim], label int64 [N] -> uint8 [N, C, H, W]."""


def onnxruntime_forward(file: str, precision: str, threads: int) -> Forward:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # As in ganserve: a spinning pool burns the core that the web server needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda z, label: session.run(None, {"z": z, "label": label})[0]


def openvino_forward(file: str, precision: str, threads: int) -> Forward:
    import openvino as ov

    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    request = ov.Core().compile_model(file, "CPU", options).create_infer_request()
    return lambda z, label: request.infer([z, label], share_inputs=True, share_outputs=True)[0].copy()


ENGINES = {"onnxruntime": onnxruntime_forward, "openvino": openvino_forward}


class Generator:
    """One session with as many threads as this worker may use, warmed."""

    def __init__(self) -> None:
        environ = os.environ
        make = ENGINES[environ["BENCH_ENGINE"]]
        self.forward = make(environ["BENCH_FILE"], environ["BENCH_PRECISION"], int(environ["BENCH_THREADS"]))
        for n in (1, MAX_BATCH):
            self.forward(np.zeros((n, Z_DIM), np.float32), np.zeros(n, np.int64))

    def answer(self, requests: Sequence[Request]) -> list[bytes]:
        """All requests in one forward pass. Returns their bodies."""
        parts = [inputs(request) for request in requests]
        pixels = self.forward(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        ends = np.cumsum([request["n"] for request in requests])[:-1]
        return [
            body(part, request["format"])
            for part, request in zip(np.split(pixels, ends), requests, strict=True)
        ]


def inputs(request: Request) -> tuple[np.ndarray, np.ndarray]:
    """z and label of a request."""
    first, n = request["seed"], request["n"]
    return latents(range(first, first + n), Z_DIM), np.full(n, request["label"], np.int64)


def body(pixels: np.ndarray, format: str) -> bytes:
    """pixels: uint8 [N, C, H, W]. Returns what ganserve returns, byte for byte."""
    return images.png(pixels[0]) if format == "png" else images.npy(pixels)
