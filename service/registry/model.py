"""A model: a version's file under a name, what state it is in, and its place in the batcher."""

import logging
import time
from pathlib import Path

import numpy as np

from service import metrics
from service.batching.batcher import Batcher, Line
from service.errors import ContractError, EngineUnavailable, InvalidField, NotReady
from service.generator import loading
from service.generator.contract import Contract
from service.generator.engine import Engine
from service.generator.engines.everything import Everything
from service.generator.file.inputs import scalars_of
from service.generator.file.named import with_range
from service.generator.loading import FILE, Loaded
from service.generator.origin.credentials import Credentials, credentials_of
from service.generator.origin.provenance import Maker
from service.machine.logs import one_line
from service.registry.beside import Beside
from service.registry.footprint import model_mb
from service.settings import Settings

log = logging.getLogger("bentoml.ganserve.models")

AROUND_SECONDS = 0.0006
"""What is around a pass."""


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
        """As loading.File has it, and `created`."""
        self.created = 0
        self.load_seconds = 0.0
        self.provenance: Maker | None = None
        """What pictures say of what made them; None: nothing."""
        self.credentials: Credentials | None = None
        """What signs its pictures; None: nothing."""
        self.on_demand = False
        """Whether it was left idle once: nothing depends on it being ready."""
        self.loaded_at = self.used_at = 0.0
        """time.monotonic() seconds; used: when it was last asked for."""
        self.beside = Beside(self.name, self.path)
        """Its encoder, if it has one."""
        self._loaded: Loaded | None = None
        self._place: tuple[Batcher, Line] | None = None
        self._line_of_everything: Line | None = None

    def load(self, settings: Settings, worker: int = 0) -> None:
        """Read the file and load it, or say what is wrong with it.

        worker: which of the workers this is, from 0; GPUs are dealt out by it.

        Raises nothing: a file that is not served is reported, and the others are.
        """
        begun = time.monotonic()
        try:
            file = loading.read(self.path, self.name, self.version)
            self.version, self.created, self.verified = file.version, file.created, file.verified
            self._loaded = loading.load(file, settings, worker)
            self.beside.load(self._loaded, self.version, worker)
        except (ContractError, EngineUnavailable, OSError) as error:
            self._fail(f"{error}")
        except Exception as error:  # an engine may raise anything on a file that it can't run
            self._fail(f"{type(error).__name__}: {error}")
            if not _is_of_an_engine(error):
                log.exception("model %s", self.name, extra={"event": "model_failed", "model": self.name})
        else:
            if settings.provenance == "on":
                engine = self._loaded.engine
                self.provenance = Maker(self.name, self.version, engine.name, engine.precision)
            self.credentials = credentials_of(settings.credentials_certificate, settings.credentials_key)
            self.load_seconds = time.monotonic() - begun
            self.loaded_at = self.used_at = time.monotonic()
            metrics.model_loads.labels(self.name).inc()

    def serve(self, batcher: Batcher) -> None:
        """Take requests from now on, if it was loaded."""
        if self.state == "failed":
            return
        loaded = self.loaded
        piece = min(loaded.max_batch, loaded.engine.max_batch)
        shared = None if loaded.engine.buckets else _shared_piece(loaded, piece)
        image = loaded.contract.image
        line = batcher.add(
            self.name,
            loaded.engine,
            loaded.max_batch,
            loaded.pass_seconds,
            piece,
            shared,
            self.version,
            image.counts_as,
        )
        line.shape = image.channels, image.height, image.width
        line.on_broken = self._break
        self._place = batcher, line
        self._serve_everything(batcher)
        self.beside.serve(batcher, self.version, image.counts_as)
        self.state = "ready"
        self._note_info(1)

    def _serve_everything(self, batcher: Batcher) -> None:
        """Passes that give what comes beside the picture, too, if its file has any."""
        found = self.loaded.everything
        if found is None:
            return
        line = batcher.add(
            *(self.name, found.engine, found.max_batch, found.pass_seconds),
            version=self.version,
            counts_as=found.counts_as,
        )
        line.shape, line.dtype = (found.numbers,), np.float32
        line.on_broken = self._break
        self._line_of_everything = line

    def beside_again(self, worker: int) -> Beside:
        """What lies beside its file now. In a thread; raises nothing."""
        beside = Beside(self.name, self.path)
        beside.load(self.loaded, self.version, worker)
        return beside

    def put_beside(self, beside: Beside) -> None:
        """Serve with another encoder, or with none, from now on. On the event loop."""
        if self.state == "ready":
            self.beside.end()
            self.beside = beside
            beside.serve(self.batcher, self.version, self.contract.image.counts_as)

    def end(self) -> None:
        """Take no request any more; those that were accepted are answered. On the event loop."""
        if self.state == "ready":
            self.state = "retired"
            self.line.on_broken = None  # which holds this, which holds the line
            self.batcher.remove(self.line)
            if self._line_of_everything is not None:
                self._line_of_everything.on_broken = None
                self.batcher.remove(self._line_of_everything)
            self.beside.end()
            self._note_info(0)

    @property
    def loaded(self) -> Loaded:
        """Raises NotReady, saying why, where it was not loaded."""
        if self._loaded is None:
            raise self._not_ready()
        return self._loaded

    @property
    def contract(self) -> Contract:
        if self._loaded is None:
            raise self._not_ready()
        return self._loaded.contract

    @property
    def engine(self) -> Engine:
        if self._loaded is None:
            raise self._not_ready()
        return self._loaded.engine

    @property
    def batcher(self) -> Batcher:
        """Raises NotReady, as `line` does, where it has not served yet."""
        if self._place is None:
            raise self._not_ready()
        return self._place[0]

    @property
    def line(self) -> Line:
        if self._place is None:
            raise self._not_ready()
        return self._place[1]

    @property
    def everything(self) -> tuple[Everything, Line]:
        """What gives every output, of a file that has more than the picture. Raises NotReady."""
        found, line = self.loaded.everything, self._line_of_everything
        if found is None or line is None:
            raise self._not_ready()
        return found, line

    @property
    def file_bytes(self) -> int:
        """With what lies beside it under its name, as `generator.onnx.data`, and its encoder. 0 if there is none, which loading it will say."""
        try:
            beside = sum(file.stat().st_size for file in self.path.parent.glob(f"{self.path.name}.*"))
            return self.path.stat().st_size + beside + self.beside.file_bytes
        except OSError:
            return 0

    @property
    def memory_mb(self) -> float:
        """What it takes once loaded, reckoned."""
        return model_mb(self.path)

    def rest(self) -> None:
        """Wait to be asked for; before it was loaded."""
        self.state, self.on_demand = "idle", True

    def idle_copy(self) -> "Model":
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
            raise self._not_ready()

    def require_truncation(self, truncation: float) -> None:
        """Raises InvalidField where it is not 1 and changes nothing: one image would have many addresses."""
        if truncation != 1 and not self.loaded.findings.truncation:
            own = ", ".join(with_range(one) for one in scalars_of(self.contract.declared))
            raise InvalidField(
                "truncation",
                f"With model {self.name}, as with any that brings z to one length, truncation changes nothing; allowed is 1."
                + (f" It has scalars of its own: {own}." if own else ""),
            )

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

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", one_line(problem)
        version = f"@{self.version}" if self.version else ""
        log.error(
            *("model %s%s (%s) is not served: %s", self.name, version, self.path.name, self.problem),
            extra={"event": "model_not_served", "model": self.name},
        )

    def _not_ready(self) -> NotReady:
        return NotReady(f"Model {self.name} is {self.state}{': ' if self.problem else ''}{self.problem}.")


def _is_of_an_engine(error: Exception) -> bool:
    """Whether a library says so of the file, which its text tells; else it is our mistake, and it matters where it was made."""
    libraries = ("onnxruntime", "openvino")
    return isinstance(error, RuntimeError | MemoryError) or type(error).__module__.startswith(libraries)


def _shared_piece(loaded: Loaded, most: int) -> int:
    """Images that take about as long as one and what is around its pass do: who asks for one waits for them."""
    image_seconds = loaded.pass_seconds / loaded.max_batch
    return min(most, 2 + int(AROUND_SECONDS / max(image_seconds, 1e-6)))
