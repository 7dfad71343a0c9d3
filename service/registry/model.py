"""One generator in memory: contract, engine, golden check, warm-up, and a place in the batcher."""

import logging
import math
import re
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.batching.batcher import Batcher, Line
from service.errors import ContractError, EngineUnavailable, InvalidField, NotReady
from service.generator import golden, trial
from service.generator.contract import Contract, is_of_card, parse, version
from service.generator.engine import Engine
from service.generator.engines.choose import choose
from service.generator.engines.race import Result
from service.generator.latents import latents
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.models")

FILE = "generator.onnx"
CARD = "README.md"
# What is around a pass, and what it finds in no cache, weighs less in a large one; but who comes meanwhile waits for it.
SHORT_SECONDS = 0.05
MOST_IMAGES = 64
AROUND_SECONDS = 0.0006
_SURE_SECONDS = 0.001  # a pass that takes less is mostly what is around it
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Idle(NotReady):
    """The model is asked for and not in memory: whoever can wait has it loaded, and asks again."""

    def __init__(self, model: "Model") -> None:
        super().__init__(f"Model {model.name} is not in memory yet; it is being loaded.")
        self.model = model


class Model:
    """A generator under a name: `loading`, then `ready` or `failed`, with the reason; `idle` if it is not in memory."""

    def __init__(self, folder: Path, file: str = FILE, name: str = "", version: str = "") -> None:
        """name: that of the folder, if none is given. version: what the file must be, if that is known."""
        self.name = name or folder.name
        self.path = folder / file
        self.state = "loading"
        self.problem = ""
        self.version = version
        self.verified = False
        """Whether the file is the one that its card names; False if there is no card that names one."""
        self.created = 0
        self.load_seconds = 0.0
        self.on_demand = False
        """Whether it was left idle once: nothing depends on it being ready."""
        self.loaded_at = self.used_at = 0.0
        """time.monotonic() seconds; used: when it was last asked for."""
        self.contract: Contract
        self.engine: Engine
        self.measured: Result | None = None
        """Of engines and precisions on this machine, where there was a choice."""
        self.max_batch: int
        self.pass_seconds: float
        self.findings: trial.Findings
        self.golden: golden.GoldenErrors | None = None
        self.line: Line
        self.batcher: Batcher | None = None

    def load(self, settings: Settings, worker: int = 0) -> None:
        """Read, check against its card and the contract, start the engine, compare golden samples, warm up.

        worker: which of the workers this is, from 0; GPUs are dealt out by it.

        Raises nothing: a file that is not served is reported, and the others are.
        """
        begun = time.monotonic()
        try:
            if not _NAME.fullmatch(self.name):
                raise ContractError(
                    "a model's folder name has lower-case letters, digits and . _ - only, at most 64"
                )
            file = self.path.read_bytes()
            self.created = int(self.path.stat().st_mtime)
            if self.version not in ("", version(file)):
                raise ContractError(f"the file changed after it was found: it is version {version(file)} now")
            self.version = version(file)
            card = card_of(self.path)
            self.verified = is_of_card(file, card.read_text("utf-8", "replace") if card.is_file() else "")
            self.contract = parse(file)
            self.engine, self.measured = choose(
                file, self.contract, settings, name=self.name, path=self.path, worker=worker
            )
            self._warm_up()
            self.max_batch = settings.max_batch or self._max_batch()
            self.findings = trial.judge(file, self.contract, self.engine, self.max_batch)
            metrics.invariance_levels.labels(self.name, self.version).set(self.findings.levels)
            self._check_golden(settings.engine_of(self.name)[0])
            self.pass_seconds = self._pass_seconds(self.max_batch)
            self.load_seconds = time.monotonic() - begun
            self.loaded_at = self.used_at = time.monotonic()
            metrics.model_loads.labels(self.name).inc()
        except (ContractError, EngineUnavailable, OSError) as error:
            self._fail(f"{error}")
        except Exception as error:  # an engine may raise anything on a file that it can't run
            self._fail(f"{type(error).__name__}: {error}")
            log.exception("model %s", self.name)

    def serve(self, batcher: Batcher) -> None:
        """Take requests from now on, if it was loaded."""
        if self.state == "failed":
            return
        self.batcher = batcher
        piece = min(self.max_batch, self.engine.max_batch)
        shared = None if self.engine.buckets else self._shared_piece(piece)
        self.line = batcher.add(
            self.name, self.engine, self.max_batch, self.pass_seconds, piece, shared, self.version
        )
        self.line.image_shape = self._image_shape
        self.line.on_broken = self._break
        self.state = "ready"
        self._note_info(1)

    def end(self) -> None:
        """Take no request any more; those that were accepted are answered. On the event loop."""
        if self.state == "ready":
            assert self.batcher is not None
            self.state = "retired"
            self.line.on_broken = None  # which holds this, which holds the line
            self.batcher.remove(self.line)
            self._note_info(0)

    @property
    def file_bytes(self) -> int:
        """0 if there is none, which loading it will say."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def rest(self) -> None:
        """Wait to be asked for; before it was loaded."""
        self.state, self.on_demand = "idle", True

    def at_rest(self) -> "Model":
        """The same version, not in memory."""
        model = Model(self.path.parent, self.path.name, self.name, self.version)
        model.created, model.verified = self.created, self.verified
        model.rest()
        return model

    def require_ready(self) -> None:
        """Whoever asks is about to use it. Raises Idle; NotReady, saying why."""
        self.used_at = time.monotonic()
        if self.state == "idle":
            raise Idle(self)
        if self.state != "ready":
            raise NotReady(f"Model {self.name} is {self.state}{': ' if self.problem else ''}{self.problem}.")

    def require_truncation(self, truncation: float) -> None:
        """Raises InvalidField where it is not 1 and changes nothing: one image would have many addresses."""
        if truncation != 1 and not self.findings.truncation:
            raise InvalidField(
                "truncation",
                f"Model {self.name} brings z to one length itself, so truncation changes nothing; allowed is 1.",
            )

    @property
    def unchecked(self) -> str | None:
        """What was not checked when it was loaded, in words."""
        if self.golden is not None:
            return None
        if self.engine.name == "fake":
            return "its images, which the fake engine makes up"
        return "its images against those of the network that was trained: the file has no golden samples"

    @property
    def _image_shape(self) -> tuple[int, int, int]:
        image = self.contract.image
        return image.channels, image.height, image.width

    def _break(self, reason: str) -> None:
        """A pass gave no images of the contract: what is accepted is settled, and no more is. On the event loop."""
        if self.state == "ready":
            self.end()
            self._fail(reason)

    def _note_info(self, value: int) -> None:
        engine = self.engine
        metrics.model_info.labels(
            self.name, self.version, engine.name, engine.precision, engine.provider
        ).set(value)

    def _warm_up(self) -> None:
        """Every shape that will be met, on every path that will meet it."""
        engine = self.engine
        for size in engine.buckets or sorted({1, engine.max_batch}):
            z, label = self._inputs(size)
            for forward in {id(f): f for f in (engine.wide, *engine.lanes)}.values():
                forward(z, label)

    def _max_batch(self) -> int:
        """The engine's own, or on CPU as many of a quick generator's images as a short pass holds."""
        size = self.engine.max_batch
        if self.engine.buckets:
            return size
        seconds = self._pass_seconds(size)
        while size < MOST_IMAGES and 2 * seconds <= SHORT_SECONDS:
            size, seconds = 2 * size, 2 * seconds
        return size

    def _pass_seconds(self, size: int) -> float:
        """A full pass on one lane: the best of five, since others may disturb one; a long one is reckoned from a shorter.

        By the thread's own time, where that is all: beside traffic every pass is disturbed.
        """
        measured = min(size, self.engine.max_batch)
        clock = time.thread_time if self.engine.on_caller else time.monotonic
        best = math.inf
        for _ in range(5):
            z, label = self._inputs(measured)
            begun = clock()
            self.engine.lanes[0](z, label)
            best = min(best, clock() - begun)
        if measured < size and best < _SURE_SECONDS:
            z, label = self._inputs(size)
            begun = clock()
            self.engine.lanes[0](z, label)
            return clock() - begun
        return best * size / measured

    def _shared_piece(self, most: int) -> int:
        """Images that take about as long as one and what is around its pass do: who asks for one waits for them."""
        image_seconds = self.pass_seconds / self.max_batch
        return min(most, 2 + int(AROUND_SECONDS / max(image_seconds, 1e-6)))

    def _inputs(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        contract = self.contract
        label = None if contract.classes is None else np.arange(size, dtype=np.int64) % contract.class_count
        return latents(range(size), contract.z_dim), label

    def _check_golden(self, engine_setting: str) -> None:
        if engine_setting == "fake":  # its pictures are made up, and replies say so
            return
        for forward in {id(f): f for f in (self.engine.wide, *self.engine.lanes)}.values():
            errors = golden.compare(self.contract, forward)
            if errors is None:
                return
            self.golden = errors
            for statistic in ("max", "p99", "mean"):
                value = getattr(errors, statistic)
                metrics.golden_error_levels.labels(self.name, self.version, statistic).set(value)
            if excess := errors.excess(self.engine.precision):
                raise ContractError(
                    f"{self.engine.name} gives other pictures than the trained network: {excess}"
                )

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        version = f"@{self.version}" if self.version else ""
        log.error("model %s%s (%s) is not served: %s", self.name, version, self.path.name, problem)


def card_of(path: Path) -> Path:
    """Of a model file: README.md for generator.onnx, and for others what has their name, as generator-2.md."""
    return path.with_name(CARD) if path.name == FILE else path.with_suffix(".md")
