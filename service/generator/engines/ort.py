"""ONNX Runtime, on CPU or CUDA."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.errors import EngineUnavailable
from service.generator.contract import Contract
from service.generator.engine import Forward
from service.generator.engines import cuda as gpu
from service.generator.engines import half
from service.generator.engines.lone import from_size, in_passes_of, inputs, pays_from
from service.generator.file.apart import taken_apart
from service.generator.file.session import session_of

# Two lanes gave 3,270, 3,770, 3,870, 3,860 and 3,940 images/s at 1, 4, 8, 16 and 32 images a pass; short passes keep
# the wait for a lane short.
CPU_MAX_BATCH = 8
CUDA_PRECISIONS = ("fp32", "tf32", "fp16")


class OrtEngine:
    """On CPU one session that every lane shares, each run on its caller's thread, and one that takes all threads;
    on CUDA one session, and one lane or two, whose largest pass is what was measured to be worth it, as they are."""

    name = "onnxruntime"

    def __init__(
        self,
        file: bytes,
        contract: Contract,
        *,
        cuda: bool,
        precision: str,
        threads: int,
        device: int = 0,
        max_batch: int = 0,
        lanes: int = 0,
    ) -> None:
        """device, max_batch, lanes: for CUDA, the GPU, the largest bucket and passes at once; 0: what is measured to fit, or to pay.

        Raises EngineUnavailable: a precision that is not to be had, or CUDA that the session did not get.
        """
        if cuda:
            self._init_cuda(file, contract, precision, device, max_batch, lanes)
        else:
            self._init_cpu(file, contract, precision, threads)

    def _init_cpu(self, file: bytes, contract: Contract, precision: str, threads: int) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineUnavailable(f"onnxruntime on CPU computes in fp32, not in {precision}.")
        self.precision = "fp32"
        self.provider = "CPUExecutionProvider"
        narrow = _forward(new_session(file, [self.provider], threads=1), contract)
        self.lanes: Sequence[Forward] = [narrow] * threads
        self.wide = narrow
        self.on_caller = True
        self.max_batch = contract.batch or CPU_MAX_BATCH
        self.buckets: Sequence[int] = () if contract.batch is None else (contract.batch,)
        alone = ""
        if threads > 1:
            every = _forward(new_session(file, [self.provider], threads=threads), contract)
            least = pays_from(narrow, every, contract)
            alone = f", and a lone one too: {threads} threads were no faster"
            if least is not None:
                self.wide = from_size(least, narrow, every)
                alone = f", a lone one of {least} or more images on all {threads}"
        self.reason = f"onnxruntime on CPU: {threads} passes at once on a thread each{alone}."

    def _init_cuda(
        self, file: bytes, contract: Contract, precision: str, device: int, max_batch: int, lanes: int
    ) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        self.provider = gpu.PROVIDER
        session = cuda_session(file, self.precision, device)
        self.on_caller = False
        if contract.batch is not None:
            fit = gpu.Fit(contract.batch, "the file, which takes no other")
        elif max_batch:
            fit = gpu.Fit(max_batch, "GANSERVE_MAX_BATCH")
        else:
            fit = gpu.fit(partial(gpu.images_per_second, session, contract, index=device))
        self.max_batch = fit.max_batch
        self.buckets = gpu.buckets(fit.max_batch) if contract.batch is None else (contract.batch,)
        given = inputs(contract, 0, fit.max_batch)
        made: list[gpu.BoundPasses] = []

        def of(count: int) -> list[gpu.BoundPasses]:
            while len(made) < count:
                made.append(gpu.BoundPasses(session, contract, self.buckets, "cuda", device))
            return made[:count]

        found = (
            gpu.Lanes(lanes, "what is beside it")
            if lanes
            else gpu.lanes(lambda count: gpu.images_at_once(of(count), given, self.precision), fit.max_batch)
        )
        self.lanes = bound = of(found.count)
        self.wide = bound[0]
        self.reason = (
            f"onnxruntime on CUDA: the session got GPU {device}; {fit.max_batch} images a pass at most, as by {fit.measured}; "
            f"{found.count} at once, as by {found.measured} (buffers of {bound[0].device_bytes / 1e6:,.1f} MB a lane)."
        )


def cuda_session(file: bytes, precision: str, device: int, **options: str) -> ort.InferenceSession:
    """A session that got GPU `device`. options: of the provider, on top of gpu.OPTIONS.

    Raises EngineUnavailable: a precision that is not to be had, or another provider than CUDA.
    """
    if precision not in CUDA_PRECISIONS:
        raise EngineUnavailable(
            f"onnxruntime on CUDA computes this file in {', '.join(CUDA_PRECISIONS)}, not in {precision}."
        )
    ort.preload_dlls()  # before the session, which else looks for CUDA and cuDNN on the system's path only
    # TF32, the default where the GPU has it, rounds the factors of every product to 10 bits.
    own = {"device_id": str(device), "use_tf32": str(int(precision == "tf32"))}
    if precision == "fp16":
        file = half.convert(file)
    provider = (gpu.PROVIDER, gpu.OPTIONS | own | options)
    session = new_session(file, [provider, "CPUExecutionProvider"], threads=1)
    got = session.get_providers()[0]
    if got != gpu.PROVIDER:  # the fall-back to CPU is silent (onnxruntime issue 23372)
        raise EngineUnavailable(f"onnxruntime gave {got} instead of {gpu.PROVIDER}.")
    return session


def _forward(session: ort.InferenceSession, contract: Contract) -> Forward:
    conditional = contract.classes is not None

    # No IO binding here: reused buffers gained 1 %, less than the noise, at 1 and at 8 images.
    def forward(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        feed = {"z": z, "label": label} if conditional else {"z": z}
        images = session.run(None, feed)[0]
        assert isinstance(images, np.ndarray)
        return images

    return in_passes_of(contract.batch, forward)


def new_session(file: bytes, providers: list, threads: int) -> ort.InferenceSession:
    """Raises what ONNX Runtime raises."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool burns the core that the event loop needs: with a pass of one image every 4 ms it took
    # 3.4 ms of CPU time a pass, against 0.9 on one thread.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    apart = taken_apart(file)
    return session_of(apart.graph, apart.weights, options, providers)
