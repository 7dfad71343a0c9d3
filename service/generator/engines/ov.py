"""OpenVINO, on CPU."""

from collections.abc import Sequence
from timeit import repeat

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from service.errors import EngineUnavailable
from service.generator.contract import Contract
from service.generator.engine import Forward
from service.generator.engines.lone import from_size, in_passes_of, inputs, pays_from
from service.machine.hardware import cpu_flags

MAX_BATCH = 8
_LONG_SECONDS = 0.005  # a lone pass; a shorter one is not worth compiling the model again
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_ACTIVATIONS = {
    "Relu",
    "PRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Swish",
    "HSwish",
    "Sigmoid",
    "HSigmoid",
    "Tanh",
    "Mish",
    "Clamp",
}


class OpenVinoEngine:
    """One stream per lane, each on a thread of its own; for long passes a second compilation, whose one stream takes all threads."""

    name = "openvino"
    on_caller = False
    provider = "CPU"
    buckets: Sequence[int] = ()
    max_batch = MAX_BATCH

    def __init__(self, file: bytes, contract: Contract, *, precision: str, threads: int) -> None:
        """Raises EngineUnavailable: a precision that this CPU has no instructions for, or a CPU on which it draws other pictures."""
        flags = cpu_flags()
        if "sse" in flags and "avx2" not in flags:
            # Held to SSE4.1 (ONEDNN_MAX_CPU_ISA), it drew pixels that were 255 levels off; held to AVX, a few of 200,000
            # in a batch were one level off from those drawn alone; held to AVX2, none.
            raise EngineUnavailable(
                "OpenVINO needs AVX2, which this CPU has not: it would draw other pictures in a batch than alone."
            )
        core = ov.Core()
        self.precision = "fp32" if precision == "auto" else precision
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision != "fp32" and self.precision.upper() not in capabilities:
            there = ", ".join(name for name in _PRECISIONS if name.upper() in capabilities)
            raise EngineUnavailable(f"OpenVINO has no {self.precision} on this CPU; it has {there}.")
        if contract.batch is not None:
            self.buckets, self.max_batch = (contract.batch,), contract.batch
        model = core.read_model(file)
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision],
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        in_pairs = contract.batch is None and _has_activated_product(model)
        # One stream of one thread computes on its caller's: a pass of one image takes 0.8 of the time. So the first lane, which is
        # used most, has a compilation of its own, and the others share one.
        narrow = core.compile_model(model, "CPU", options | {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1})
        self.lanes: Sequence[Forward] = [_forward(narrow, contract, in_pairs)]
        if threads > 1:
            others = {"NUM_STREAMS": threads - 1, "INFERENCE_NUM_THREADS": threads - 1}
            compiled = core.compile_model(model, "CPU", options | others)
            self.lanes = [*self.lanes, *(_forward(compiled, contract, in_pairs) for _ in range(threads - 1))]
        # A request of its own: others may begin on the lanes while it runs, and a request that runs takes no second.
        self.wide, lone = _forward(narrow, contract, in_pairs), "on one of them too"
        # Held to fewer instructions than the CPU has (ONEDNN_MAX_CPU_ISA), it says that it has bf16, and gives no image.
        if self.precision != "fp32" and len(self.wide(*inputs(contract, 0, 1))) != 1:
            raise EngineUnavailable(
                f"OpenVINO has no {self.precision} on this CPU as it is held: it draws nothing."
            )
        # On two threads, three images of one DCGAN at once had other low bits than alone (3 of 800,000 pixels, by one level).
        transposed = any(op.get_type_name() == "ConvolutionBackpropData" for op in model.get_ops())
        if threads > 1 and not transposed and _seconds(self.wide, contract) > _LONG_SECONDS:
            every = _forward(
                core.compile_model(model, "CPU", options | {"NUM_STREAMS": 1}), contract, in_pairs
            )
            least = pays_from(self.wide, every, contract)
            if least is not None:
                self.wide = from_size(least, self.wide, every)
                lone = f"of {least} or more images on all {threads} threads"
        self.reason = f"openvino on CPU: {threads} streams of a thread each, a lone pass {lone}."


def _has_activated_product(model: ov.Model) -> bool:
    """Whether an activation follows a product of matrices, so that both are computed in one step.

    With AVX512 that step sums in another order for one row than for several, which moved 2 of 200,000 pixels of an MLP by a
    level (cgan, on Zen 5, in fp32). What had no such step, convolutions among it, moved none in any operator.
    """
    behind = [op.output(0) for op in model.get_ops() if op.get_type_name() == "MatMul"]
    while behind:
        for reader in behind.pop().get_target_inputs():
            kind = reader.get_node().get_type_name()
            if kind in _ACTIVATIONS:
                return True
            if kind in ("Add", "Multiply"):  # the bias, and a norm's scale
                behind.append(reader.get_node().output(0))
    return False


# No method: an engine that its own forward passes hold would wait for the garbage collector when it is retired.
def _forward(compiled: ov.CompiledModel, contract: Contract, in_pairs: bool) -> Forward:
    """in_pairs: one image is computed twice, beside itself, as in a batch."""
    request = compiled.create_infer_request()
    conditional = contract.classes is not None

    def forward(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        count = len(z)
        feed = [z, label] if conditional else [z]
        if in_pairs and count == 1:
            feed = [np.repeat(given, 2, axis=0) for given in feed if given is not None]
        # The output lives in the request, which the next pass writes into.
        return request.infer(feed, share_inputs=True, share_outputs=True)[0][:count].copy()

    return in_passes_of(contract.batch, forward)


def _seconds(forward: Forward, contract: Contract) -> float:
    z = np.zeros((1, contract.row_dim), np.float32)
    label = None if contract.classes is None else np.zeros(1, np.int64)
    return min(repeat(lambda: forward(z, label), number=1, repeat=3))
