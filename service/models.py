"""The models under a folder: contract, engine, golden check, warm-up, and a place in the batcher."""

import hashlib
import logging
import math
import random
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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
            self.engine = choose(file, self.contract, settings, worker)
            self._warm_up()
            self._check_golden(settings.engine)
            self.max_batch = settings.max_batch or self._max_batch()
            self.pass_seconds = self._pass_seconds(self.max_batch)
            self.load_seconds = time.monotonic() - begun
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
        self.state = "ready"
        self._note_info(1)

    def end(self) -> None:
        """Take no request any more; those that were accepted are answered. On the event loop."""
        if self.state == "ready":
            assert self.batcher is not None
            self.state = "retired"
            self.batcher.remove(self.line)
            self._note_info(0)

    def require_ready(self) -> None:
        """Raises NotReady, saying why."""
        if self.state != "ready":
            raise NotReady(f"Model {self.name} is {self.state}{': ' if self.problem else ''}{self.problem}.")

    def _note_info(self, value: int) -> None:
        engine = self.engine
        metrics.model_info.labels(
            self.name, self.version, engine.name, engine.precision, engine.provider
        ).set(value)

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
        """A full pass on one lane: the best of five, since others may disturb one.

        By the thread's own time, where that is all: beside traffic every pass is disturbed.
        """
        z, label = self._inputs(size)
        clock = time.thread_time if self.engine.on_caller else time.monotonic
        best = math.inf
        for _ in range(5):
            begun = clock()
            self.engine.lanes[0](z, label)
            best = min(best, clock() - begun)
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
                value = getattr(errors, statistic)
                metrics.golden_error_levels.labels(self.name, self.version, statistic).set(value)
            if excess := errors.excess(self.engine.precision):
                raise ContractError(
                    f"{self.engine.name} gives other pictures than the trained network: {excess}"
                )

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        log.error("model %s is not served: %s", self.name, problem)


class Canary(NamedTuple):
    """A version that is tried on a share of the requests that name no version; above 0, below 1."""

    model: Model
    share: float


class Models(Mapping[str, Model]):
    """All models under a folder, by name: of each the version that gets the requests that name none.

    A model may have further versions, under `name@version`; rollout.py brings and takes them. What changes here
    changes on the event loop, where requests find their model and are queued without a pause between.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises nothing for a bad model; `problem` says why there is none at all."""
        self.settings = settings
        self.started = False
        """Whether all workers have been ready, once; one that is started again later is not waited for."""
        self.problem = ""
        try:
            found = sorted(folders(settings.models))
        except OSError as error:
            found = []
            self.problem = f"GANSERVE_MODELS: {error}"
        if not found and not self.problem:
            self.problem = f"No */{FILE} under {settings.models.resolve()} (GANSERVE_MODELS)."
        if self.problem:
            log.error(self.problem)
        self._models = {folder.name: Model(folder) for folder in found}
        self.versions = {name: [model] for name, model in self._models.items()}
        """Every version by name, loading and failed ones too. To be read; `put` and `drop` change it."""
        self._canaries: dict[str, Canary] = {}
        self.batcher: Batcher | None = None

    def load(self, worker: int = 0) -> None:
        """Load every model, one after another; each serves as soon as it is ready."""
        for model in self._models.values():
            model.load(self.settings, worker)
            self.serve(model)

    def serve(self, model: Model) -> None:
        """Take requests for a model from now on, if it was loaded."""
        if model.state == "failed":
            return
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
            model.load_seconds,
            "its card names this file" if model.verified else "unverified, no card names its SHA-256",
            model.engine.reason,
        )

    @property
    def all_ready(self) -> bool:
        """Whether every model is ready, and there is one."""
        return bool(self._models) and all(model.state == "ready" for model in self._models.values())

    def find(self, address: str | None) -> Model:
        """The model `name`, or `name@version`; without an address, the default one.

        Raises UnknownModel, listing what there is; NotReady, saying why there is none at all, or that versions are
        not known yet.
        """
        if address is None:
            return self._default()
        name, at, wanted = address.partition("@")
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(
                f"There is no model '{name[:64]}'; there are: {', '.join(self._models) or 'none'}."
            )
        if not at or (wanted and wanted == model.version):
            return model
        for other in self.versions[name]:
            if wanted and wanted == other.version:
                return other
        if model.state == "loading" and not model.version:
            model.require_ready()
        versions = ", ".join(other.version for other in self.versions[name])
        raise UnknownModel(f"Model {name} has version {versions or 'none'}, not '{wanted[:64]}'.")

    def pick(self, address: str | None, seed: int | None) -> Model:
        """As `find`; where no version is named, the canary gets its share.

        The same seed goes the same way on every worker and replica, so that its image does not change from one
        request to the next; a larger share takes more seeds, and gives none back. seed: None is chance's.
        """
        model = self.find(address)
        canary = self._canaries.get(model.name)
        if canary is None or (address is not None and "@" in address):
            return model
        return canary.model if _place(canary.model.version, seed) < canary.share else model

    def share(self, model: Model) -> float:
        """Of the requests that name no version."""
        canary = self._canaries.get(model.name)
        if canary is not None and canary.model is model:
            return canary.share
        if self._models.get(model.name) is not model:
            return 0.0
        return 1.0 if canary is None else 1.0 - canary.share

    def put(self, model: Model) -> None:
        """Add a version; requests that name none do not meet it."""
        self.versions.setdefault(model.name, []).append(model)

    def direct(self, model: Model, canary: Canary | None) -> None:
        """Send the requests that name no version to `model`, and to its canary, if there is one."""
        self.problem = ""
        self._models[model.name] = model
        self._models = dict(sorted(self._models.items()))  # the default may be the first by name
        self._canaries.pop(model.name, None)
        if canary is not None:
            self._canaries[model.name] = canary
        for one in self.versions[model.name]:
            if one.version:
                metrics.traffic_share.labels(one.name, one.version).set(self.share(one))

    def drop(self, model: Model) -> None:
        """Take a version away that gets no requests by its name alone."""
        self.versions[model.name].remove(model)
        model.end()

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


def card_of(path: Path) -> Path:
    """Of a model file: README.md for generator.onnx, and for others what has their name, as generator-2.md."""
    return path.with_name(CARD) if path.name == FILE else path.with_suffix(".md")


def folders(root: Path) -> list[Path]:
    """The folders of models under `root`. Raises OSError."""
    return [folder for folder in root.iterdir() if (folder / FILE).is_file()]


def _place(version: str, seed: int | None) -> float:
    """Where on [0, 1) a request stands: by its seed, else anywhere. Uniform, and another for each version."""
    if seed is None:
        return random.random()
    return int.from_bytes(hashlib.blake2b(f"{version}/{seed}".encode(), digest_size=6).digest()) / 2**48
