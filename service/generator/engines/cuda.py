"""What ONNX Runtime needs on CUDA: how many devices there are, its options, one binding a bucket, and what is measured of the card.

Follows ONNX Runtime's documentation. The bindings are tested on its CPU provider; nothing here has been run on a GPU
yet, which `make gpu-check` is for.

A second lane is a second set of bindings of the same session, which gives each run a stream of its own, so the weights are
there once. No CUDA graphs: with them a session has one stream, keeps the captured graph with the thread that captured it, and
forbids runs from several, so a lane would need a thread and a session of its own; and it captures in CUDA's global mode, in which an
allocation by any other thread is an error: a model that is loaded would fail requests of those that serve beside it.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.generator import golden
from service.generator.contract import Contract
from service.generator.engine import Forward
from service.generator.engines.lone import CLEARLY, inputs
from service.machine.hardware import gpus

PROVIDER = "CUDAExecutionProvider"
SIZES = (32, 64, 128, 256, 512)
"""What the largest bucket may be."""
_GAIN = 1.1
_LONGEST_PASS_SECONDS = 0.05
_MEASURED_SECONDS = 0.1

# EXHAUSTIVE, the default, searches anew at every new shape: 634 ms against 1.9 ms (as PaddleX PR 5057 says).
# No gpu_mem_limit: the warm-up meets every bucket before the model is ready, and a limit could only fail a larger model.
OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}


def device_count() -> int:
    """GPUs that a session may get: the wheel has CUDA, and the driver shows them. 0 without any."""
    if PROVIDER not in ort.get_available_providers():  # lists it also where no GPU is
        return 0
    return gpus()


def buckets(max_batch: int) -> tuple[int, ...]:
    """The batch sizes that passes are padded to: the powers of two below max_batch, and max_batch."""
    return (*(2**power for power in range((max_batch - 1).bit_length())), max_batch)


class Fit(NamedTuple):
    """The images of the largest bucket, and the images per second that say so, in words."""

    max_batch: int
    measured: str


def fit(rate: Callable[[int], float], sizes: Sequence[int] = SIZES) -> Fit:
    """The smallest bucket after which images per second hardly grow. Who comes meanwhile waits for a pass: it is short all the same.

    rate: images per second of passes of so many images; raises where memory ends. sizes: ascending.
    """
    size, best = sizes[0], rate(sizes[0])
    told = [f"{size} a pass {best:,.0f}"]
    for larger in sizes[1:]:
        if larger / best > 2 * _LONGEST_PASS_SECONDS:  # as it would take if it were no faster per image
            break
        try:
            images = rate(larger)
        except Exception as error:  # ONNX Runtime has no class of its own for "out of memory"
            told.append(f"{larger} failed ({type(error).__name__})")
            break
        told.append(f"{larger} a pass {images:,.0f}")
        if images < _GAIN * best or larger / images > _LONGEST_PASS_SECONDS:
            break
        size, best = larger, images
    return Fit(size, f"images/s: {', '.join(told)}")


class Lanes(NamedTuple):
    """How many passes may run at once, and the images per second that say so, in words."""

    count: int
    measured: str


class OtherPictures(Exception):
    """Passes at once drew other pictures than one alone."""


def lanes(rate: Callable[[int], float], size: int) -> Lanes:
    """Two, where the copies of one pass beside the computing of another make clearly more images per second; else one.

    rate: images per second of so many lanes, in passes of `size` images; raises OtherPictures, and where memory ends. Measured twice,
    in turn, and the better counts.
    """
    one = rate(1)
    if size / one > _LONGEST_PASS_SECONDS:
        return Lanes(1, f"images/s: 1 lane {one:,.0f}, whose passes are long as it is")
    try:
        two = rate(2)
        one, two = max(one, rate(1)), max(two, rate(2))
    except Exception as error:  # ONNX Runtime has no class of its own for "out of memory"
        return Lanes(1, f"images/s: 1 lane {one:,.0f}, 2 lanes failed ({type(error).__name__})")
    return Lanes(2 if two >= CLEARLY * one else 1, f"images/s: 1 lane {one:,.0f}, 2 lanes {two:,.0f}")


def images_at_once(
    passes: Sequence[Forward],
    given: tuple[NDArray[np.float32], NDArray[np.int64] | None],
    precision: str,
) -> float:
    """Images per second of all together, each on a thread of its own, in a tenth of a second or one pass each.

    given: z and label of every pass. Raises OtherPictures.
    """
    for forward in passes:
        forward(*given)  # which looks for algorithms
    begun = time.monotonic()
    alone = passes[0](*given)
    count = math.ceil(_MEASURED_SECONDS / max(time.monotonic() - begun, 1e-6))

    def work(forward: Forward) -> NDArray[np.uint8]:
        for _ in range(count - 1):
            forward(*given)
        return forward(*given)

    with ThreadPoolExecutor(len(passes)) as pool:
        begun = time.monotonic()
        last = list(pool.map(work, passes))
        seconds = time.monotonic() - begun
    for images in last:
        if not np.array_equal(images, alone) and golden.difference(images, alone).excess(precision):
            raise OtherPictures
    return len(passes) * count * len(alone) / seconds


def images_per_second(
    session: ort.InferenceSession, contract: Contract, size: int, device: str = "cuda", index: int = 0
) -> float:
    """Of full passes, one after another: the best of two or more in a tenth of a second."""
    forward, given = BoundPasses(session, contract, (size,), device, index), inputs(contract, 0, size)
    forward(*given)  # which looks for algorithms
    best, end = math.inf, time.monotonic() + _MEASURED_SECONDS
    count = 0
    while count < 2 or time.monotonic() < end:
        begun = time.monotonic()
        forward(*given)
        best, count = min(best, time.monotonic() - begun), count + 1
    return size / best


class BoundPasses:
    """The forward passes of one session, each padded to a bucket; called by one thread at a time.

    A bucket's buffers, on the host and on the device, are made once and live as long as this.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        contract: Contract,
        buckets: Sequence[int],
        device: str = "cuda",
        index: int = 0,
    ) -> None:
        """buckets: ascending. device, index: where the buffers are, `cuda` or `cpu`, and which of them."""
        self._passes = {size: _BoundPass(session, contract, size, device, index) for size in buckets}
        self._largest = buckets[-1]
        self.device_bytes = sum(one.device_bytes for one in self._passes.values())
        """Of the buffers on the device."""

    def __call__(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """More than the largest bucket are passed one part after another."""
        count, largest = len(z), self._largest
        if count > largest:
            parts = [slice(start, start + largest) for start in range(0, count, largest)]
            return np.concatenate([self(z[part], None if label is None else label[part]) for part in parts])
        size = next(size for size in self._passes if size >= count)
        return self._passes[size](z, label)


class _BoundPass:
    """A forward pass of `size` images."""

    def __init__(
        self, session: ort.InferenceSession, contract: Contract, size: int, device: str, index: int
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._staging: list[tuple[NDArray, ort.OrtValue]] = []
        inputs: list[tuple[str, tuple[int, ...], type]] = [("z", (size, contract.row_dim), np.float32)]
        if contract.classes is not None:
            inputs.append(("label", (size,), np.int64))
        for name, shape, dtype in inputs:
            value = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, index)
            self._binding.bind_ortvalue_input(name, value)
            self._staging.append((np.empty(shape, dtype), value))
        (gives,) = session.get_outputs()
        dtype = (
            np.uint8 if gives.type == "tensor(uint8)" else np.float32
        )  # the picture, or every output in a row
        self._image = ort.OrtValue.ortvalue_from_shape_and_type(
            (size, *gives.shape[1:]), dtype, device, index
        )
        self._binding.bind_ortvalue_output("image", self._image)
        image_bytes = size * math.prod(gives.shape[1:]) * np.dtype(dtype).itemsize
        self.device_bytes = image_bytes + sum(rows.nbytes for rows, _ in self._staging)

    def __call__(self, z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        count = len(z)
        for (rows, value), given in zip(self._staging, (z, label), strict=False):
            assert given is not None
            rows[:count] = given
            rows[count:] = given[-1]  # a latent and a label that are known to be valid
            value.update_inplace(rows)  # returns when the device has it
        self._session.run_with_iobinding(self._binding)  # returns when the device is done
        # On CPU this is a view of the buffer, which the next pass writes into.
        return self._image.numpy()[:count].copy()
