"""An encoder's file -> what finds z or a class: read, held to the generator that it lies beside, on that one's device, judged and timed."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import RETRAIN, ContractError
from service.generator.contract import Contract
from service.generator.encoder import EncoderDocument, encoder_of, parse, require_of
from service.generator.engine import Engine
from service.generator.engines import cuda
from service.generator.engines.ort import cuda_session, new_session
from service.generator.file.reading import contents

MOST_PICTURES = 8
"""Of a pass, as many as of a generator's on CPU."""
_QUICK_SECONDS = 0.01
_TOLERANCE = {"fp32": 0.05}
_TOLERANCE_OF_OTHERS = 0.25
"""Mean difference to a golden z, whose numbers mostly lie within -2 and 2, or to golden logits in units of their spread: that of
another picture is 1 or so. In other precisions the generator's own pictures are a few grey levels off."""
_SAME = 1e-3


class EncoderEngine:
    """As engine.Engine, but for what a pass takes and gives: uint8 [N, C, H, W] -> float32 [N, z_dim + K], z and then logits, or one of them."""

    name = "onnxruntime"
    precision = "fp32"
    reason = "An encoder runs where its generator does."

    def __init__(self, file: bytes, document: EncoderDocument, beside: Engine, device: int) -> None:
        """beside: the generator's. device: its GPU, where it has one. Raises what ONNX Runtime raises."""
        on_gpu = beside.provider == cuda.PROVIDER
        self._session = (
            cuda_session(file, "fp32", device) if on_gpu else new_session(file, ["CPUExecutionProvider"], 1)
        )
        self._outputs = list(document.outputs)
        self.provider = self._session.get_providers()[0]
        self.on_caller = not on_gpu
        self.lanes = [self._forward] * len(beside.lanes)
        self.wide = self._forward
        self.max_batch = MOST_PICTURES
        self.buckets: Sequence[int] = beside.buckets and (MOST_PICTURES,)

    def _forward(self, images: NDArray[np.uint8], label: None = None) -> NDArray[np.float32]:
        return np.concatenate(
            [np.asarray(part) for part in self._session.run(self._outputs, {"image": images})], axis=1
        )


@dataclass(frozen=True, slots=True)
class Encoder:
    """One that can serve. classes: names of those that its logits are of; None where it gives none. pass_seconds: of MOST_PICTURES
    pictures. golden: the mean difference to golden z, or logits in units of their spread; None: there are none."""

    document: EncoderDocument
    classes: Sequence[str] | None
    engine: EncoderEngine
    pass_seconds: float
    golden: float | None

    @property
    def numbers(self) -> int:
        """That a pass gives for a picture."""
        return sum(self.document.outputs.values())

    @property
    def most_pictures(self) -> int:
        """Of one request in a pass, so that others wait little."""
        return max(1, min(MOST_PICTURES, int(MOST_PICTURES * _QUICK_SECONDS / max(self.pass_seconds, 1e-6))))


def load(path: Path, contract: Contract, version: str, beside: Engine, device: int) -> Encoder | None:
    """That of the generator at `path`, which has this contract and version and runs on the engine `beside`; None if there is none.

    Raises ContractError: it is no encoder, or not of this generator, or gives other numbers than the network that was trained; OSError; what
    ONNX Runtime raises.
    """
    try:
        file = contents(encoder_of(path))
    except FileNotFoundError:
        return None
    document = parse(file)
    require_of(document, contract, version)
    engine = EncoderEngine(file, document, beside, device)
    classes = document.class_names or contract.classes
    encoder = Encoder(document, classes, engine, math.inf, None)
    seeds = range(MOST_PICTURES)
    label = None if contract.classes is None else np.array(seeds) % contract.class_count
    images = beside.lanes[0](contract.rows(seeds), label)
    _judge(encoder, images)
    golden = None if beside.name == "fake" else _compare_golden(document, engine, contract, beside)
    return Encoder(document, classes, engine, _pass_seconds(engine, images), golden)


def _judge(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    """images: uint8 [N, C, H, W], the generator's own."""
    forward = encoder.engine.wide
    together = forward(images)
    want = (len(images), encoder.numbers)
    if together.shape != want or together.dtype != np.float32:
        raise ContractError(
            f"it gives {together.dtype} {together.shape} for {len(images)} pictures, not float32 {want}",
            RETRAIN,
        )
    if not np.isfinite(together).all():
        raise ContractError("it gives NaN or infinity for a picture of its generator", RETRAIN)
    alone = np.concatenate([forward(images[i : i + 1]) for i in range(3)])
    if np.abs(alone - together[:3]).max() > _SAME * max(1.0, float(np.abs(alone).max())):
        raise ContractError("what it gives for a picture depends on the others of its batch", RETRAIN)


def _compare_golden(
    document: EncoderDocument, engine: EncoderEngine, contract: Contract, beside: Engine
) -> float | None:
    """The mean difference; None if there is nothing to compare. Raises ContractError where it is too large."""
    golden = document.golden
    if not golden:
        return None
    label = None if contract.classes is None else np.array([one.label for one in golden], np.int64)
    images = beside.lanes[0](contract.rows([one.seed for one in golden]), label)
    found = np.concatenate(
        [engine.wide(images[i : i + MOST_PICTURES]) for i in range(0, len(images), MOST_PICTURES)]
    )
    what, size = next(iter(document.outputs.items()))
    want = np.array([getattr(one, what) for one in golden], np.float32)
    unit = 1.0 if what == "z" else max(float(want.std()), 1e-6)
    difference = float(np.abs(found[:, :size] - want).mean()) / unit
    most = _TOLERANCE.get(beside.precision, _TOLERANCE_OF_OTHERS)
    if not difference <= most:
        raise ContractError(
            f"it finds other {what} than the network that was trained: golden {what} differ by {difference:.3g} on average (allowed {most:.3g})",
            f"copy it again, or {RETRAIN}",
        )
    return difference


def _pass_seconds(engine: EncoderEngine, images: NDArray[np.uint8]) -> float:
    """The best of three."""
    clock = time.thread_time if engine.on_caller else time.monotonic
    best = math.inf
    for _ in range(3):
        begun = clock()
        engine.lanes[0](images)
        best = min(best, clock() - begun)
    return best
