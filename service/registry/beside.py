"""The encoder that lies beside a model's file, and its place in the batcher: the model serves with it or without."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from service.batching.batcher import Batcher, Line
from service.errors import ContractError, InvalidField
from service.generator.encoder import encoder_of
from service.generator.engines import encoding
from service.generator.engines.cuda import device_count
from service.generator.engines.encoding import MOST_PICTURES, Encoder
from service.generator.loading import Loaded
from service.machine.logs import one_line

log = logging.getLogger("bentoml.ganserve.models")
Gives = Literal["z", "logits"]


class Beside:
    """Of one version of a model."""

    def __init__(self, name: str, path: Path) -> None:
        """name: the model's. path: of its file."""
        self.name = name
        self.path = encoder_of(path)
        self.problem = ""
        """Why the encoder that lies there is not served."""
        self.encoder: Encoder | None = None
        self._of = path
        self._mark = self._mark_now()
        self._place: tuple[Batcher, Line] | None = None

    @property
    def is_stale(self) -> bool:
        """Whether another file lies there than was read, or none any more."""
        return self._mark_now() != self._mark

    @property
    def file_bytes(self) -> int:
        """0 if there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def load(self, loaded: Loaded, version: str, worker: int) -> None:
        """Read it for the generator that was loaded, or say what is wrong with it. Raises nothing."""
        self._mark = self._mark_now()
        device = worker % (device_count() or 1)
        try:
            self.encoder = encoding.load(self._of, loaded.contract, version, loaded.engine, device)
        except (ContractError, OSError) as error:
            self._fail(f"{error}", version)
        except Exception as error:  # ONNX Runtime may raise anything on a file that it can't run
            self._fail(f"{type(error).__name__}: {error}", version)

    def serve(self, batcher: Batcher, version: str, counts_as: int) -> None:
        """Take pictures from now on, if it was loaded. On the event loop."""
        encoder = self.encoder
        if encoder is None:
            return
        line = batcher.add(
            f"{self.name}/encoder",  # which no model can be called
            encoder.engine,
            MOST_PICTURES,
            encoder.pass_seconds,
            encoder.most_pictures,
            version=version,
            counts_as=counts_as,
        )
        line.shape, line.dtype = (encoder.numbers,), np.float32
        line.on_broken = self._break
        self._place = batcher, line
        log.info(
            "model %s@%s has an encoder: %.1f ms for %d pictures%s",
            *(self.name, version, 1000 * encoder.pass_seconds, MOST_PICTURES),
            "; not checked: what it finds, as it has no golden samples" if encoder.golden is None else "",
            extra={"event": "encoder_ready", "model": self.name, "version": version},
        )

    def end(self) -> None:
        """Take no picture any more; those that were accepted are answered. On the event loop."""
        if self._place is not None:
            batcher, line = self._place
            self._place = None
            line.on_broken = None  # which holds this, which holds the line
            batcher.remove(line)

    def gives(self, output: Gives) -> bool:
        return self.encoder is not None and output in self.encoder.document.outputs

    def require(self, output: Gives) -> tuple[Encoder, Line]:
        """What gives it, and its line. Raises InvalidField, saying what there is instead, where none serves."""
        if self.encoder is None or self._place is None or not self.gives(output):
            raise InvalidField("model", f"Model {self.name} {self._lacks(output)}")
        return self.encoder, self._place[1]

    def _lacks(self, output: Gives) -> str:
        why = f" ({self.path.name} is not used: {self.problem})" if self.problem else ""
        if output == "logits":
            finds = f": its {self.path.name} finds z alone" if self.gives("z") else why
            return f"has nothing that names the class of a picture{finds}."
        if self.gives("logits"):
            return "has a classifier and no encoder: it has no z of a picture, whose class POST /v1/classifications names."
        return f"has no encoder{why}, which finds the z of a picture: `python -m training encode` makes one."

    def _mark_now(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _break(self, reason: str) -> None:
        """A pass gave something else: the model goes on without it. On the event loop."""
        version = "" if self._place is None else self._place[1].version
        self.end()
        self.encoder = None
        self._fail(reason, version)

    def _fail(self, problem: str, version: str) -> None:
        self.problem = one_line(problem)
        log.error(
            *(
                "model %s@%s is served without its encoder (%s): %s",
                self.name,
                version,
                self.path.name,
                self.problem,
            ),
            extra={"event": "encoder_not_served", "model": self.name},
        )
