"""The models under a folder: contract, engine, golden check, warm-up, and a place in the batcher."""

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service import golden, metrics
from service.batcher import Batcher, Line
from service.contract import Contract, is_of_card, parse, version
from service.engines.choose import available_cpus, choose
from service.engines.engine import Engine
from service.errors import ContractError, EngineUnavailable, NotReady, UnknownModel
from service.latents import latents
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.models")

FILE = "generator.onnx"
CARD = "README.md"
# What is around a pass, and what it finds in no cache, weighs less in a large one; but a pass on the event
# loop holds up everything else.
SHORT_SECONDS = 0.012
MOST_IMAGES = 64
AROUND_SECONDS = 0.0006
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Model:
    """A generator under a name: `loading`, then `ready` or `failed`, with the reason."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.path = folder / FILE
        self.state = "loading"
        self.problem = ""
        self.version = ""
        self.verified = False
        """Whether the file is the one that its card names; False if there is no card that names one."""
        self.created = 0
        self.contract: Contract
        self.engine: Engine
        self.max_batch: int
        self.pass_seconds: float
        self.golden: golden.GoldenErrors | None = None
        self.line: Line
        self.batcher: Batcher | None = None

    def load(self, settings: Settings, worker: int = 0) -> None:
        """Read, check against its card and the contract, start the engine, compare golden samples, warm up.

        worker: which of the workers this is, from 0; GPUs are dealt out by it.

        Raises nothing: a file that is not served is reported, and the others are.
        """
        try:
            if not _NAME.fullmatch(self.name):
                raise ContractError(
                    "a model's folder name has lower-case letters, digits and . _ - only, at most 64"
                )
            file = self.path.read_bytes()
            self.created = int(self.path.stat().st_mtime)
            self.version = version(file)
            card = self.path.with_name(CARD)
            self.verified = is_of_card(file, card.read_text("utf-8", "replace") if card.is_file() else "")
            self.contract = parse(file)
            self.engine = choose(file, self.contract, settings, worker)
            self._warm_up()
            self._check_golden(settings.engine)
            self.max_batch = settings.max_batch or self._max_batch()
            self.pass_seconds = self._pass_seconds(self.max_batch)
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
        self.line = batcher.add(self.name, self.engine, self.max_batch, self.pass_seconds, piece, shared)
        self.state = "ready"
        engine = self.engine
        metrics.model_info.labels(
            self.name, self.version, engine.name, engine.precision, engine.provider
        ).set(1)

    def require_ready(self) -> None:
        """Raises NotReady, saying why."""
        if self.state != "ready":
            raise NotReady(f"Model {self.name} is {self.state}{': ' if self.problem else ''}{self.problem}.")

    def _warm_up(self) -> None:
        """Every shape that will be met, on every path that will meet it."""
        engine, contract = self.engine, self.contract
        for size in engine.buckets or sorted({1, engine.max_batch}):
            z, label = self._inputs(size)
            for forward in {id(f): f for f in (engine.wide, *engine.lanes)}.values():
                images = forward(z, label)
                shape = (size, contract.image.channels, contract.image.height, contract.image.width)
                if images.shape != shape or images.dtype != np.uint8:
                    raise ContractError(f"the graph gave {images.dtype} {images.shape}, not uint8 {shape}")

    def _max_batch(self) -> int:
        """The engine's own, or on CPU as many of a quick generator's images as a short pass holds."""
        size = self.engine.max_batch
        while (
            not self.engine.buckets and size < MOST_IMAGES and self._pass_seconds(2 * size) <= SHORT_SECONDS
        ):
            size *= 2
        return size

    def _pass_seconds(self, size: int) -> float:
        """A full pass on one lane: the best of five, since others may disturb one."""
        z, label = self._inputs(size)
        best = math.inf
        for _ in range(5):
            begun = time.monotonic()
            self.engine.lanes[0](z, label)
            best = min(best, time.monotonic() - begun)
        return best

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
                metrics.golden_error_levels.labels(self.name, statistic).set(getattr(errors, statistic))
            if excess := errors.excess(self.engine.precision):
                raise ContractError(
                    f"{self.engine.name} gives other pictures than the trained network: {excess}"
                )

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        log.error("model %s is not served: %s", self.name, problem)


class Models(Mapping[str, Model]):
    """All models under a folder, by name."""

    def __init__(self, settings: Settings) -> None:
        """Raises nothing for a bad model; `problem` says why there is none at all."""
        self.settings = settings
        self.started = False
        """Whether all workers have been ready, once; one that is started again later is not waited for."""
        self.problem = ""
        try:
            folders = sorted(folder for folder in settings.models.iterdir() if (folder / FILE).is_file())
        except OSError as error:
            folders = []
            self.problem = f"GANSERVE_MODELS: {error}"
        if not folders and not self.problem:
            self.problem = f"No */{FILE} under {settings.models.resolve()} (GANSERVE_MODELS)."
        if self.problem:
            log.error(self.problem)
        self._models = {folder.name: Model(folder) for folder in folders}
        self.batcher: Batcher | None = None

    def load(self, worker: int = 0) -> None:
        """Load every model, one after another; each serves as soon as it is ready."""
        for model in self._models.values():
            begun = time.monotonic()
            model.load(self.settings, worker)
            if model.state == "failed":
                continue
            if self.batcher is None:
                lanes = len(model.engine.lanes)
                # On CPU a lane is a core, and encodes what it computed; an accelerator must not wait for that.
                encode_threads = available_cpus() if model.engine.buckets else 0
                self.batcher = Batcher(
                    lanes,
                    self.settings.max_queue_images,
                    encode_threads,
                    most_request_images=self.settings.max_images_per_request,
                    max_wait_seconds=self.settings.max_wait_seconds,
                )
            model.serve(self.batcher)
            log.info(
                "model %s@%s ready in %.2f s; %s; %s",
                model.name,
                model.version,
                time.monotonic() - begun,
                "its card names this file" if model.verified else "unverified, no card names its SHA-256",
                model.engine.reason,
            )

    @property
    def all_ready(self) -> bool:
        """Whether every model is ready, and there is one."""
        return bool(self._models) and all(model.state == "ready" for model in self._models.values())

    def find(self, address: str | None) -> Model:
        """The model `name`, or `name@version`; without an address, the default one.

        Raises UnknownModel, listing what there is; NotReady, saying why there is none at all.
        """
        if address is None:
            return self._default()
        name, at, wanted = address.partition("@")
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(
                f"There is no model '{name[:64]}'; there are: {', '.join(self._models) or 'none'}."
            )
        if at and wanted != model.version:
            raise UnknownModel(f"Model {name} has version {model.version}, not '{wanted[:64]}'.")
        return model

    def _default(self) -> Model:
        if not self._models:
            raise NotReady(self.problem)
        return self._models.get(self.settings.default_model) or next(iter(self._models.values()))

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)
