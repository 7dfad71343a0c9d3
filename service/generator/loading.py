"""A generator's file -> what serves it: read, verified against its card, on its engine, warm, judged and timed."""

import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service import metrics
from service.errors import COPY, ContractError
from service.generator import golden, trial
from service.generator.contract import Contract, is_of_card, parse, version
from service.generator.engine import Engine, Forward
from service.generator.engines import everything as further
from service.generator.engines.choose import again, choose
from service.generator.engines.lone import LONG_SECONDS, best_seconds, inputs
from service.generator.engines.race import Result
from service.generator.file import signed
from service.generator.file.folded import folded
from service.generator.file.reading import contents
from service.generator.file.rewired import rewired
from service.settings import Settings

FILE = "generator.onnx"
CARD = "README.md"
# What is around a pass, and what it finds in no cache, weighs less in a large one; but who comes meanwhile waits for it.
SHORT_SECONDS = 0.05
MOST_IMAGES = 64
_SURE_SECONDS = 0.001  # a pass that takes less is mostly what is around it
_RELOAD = "`python -m service.admin reload` reads it again"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class File:
    """A model's file, as it was read.

    created: when it was last changed, in seconds since 1970. verified: whether it is the one that its card names; False
    if there is no card that names one.
    """

    name: str
    path: Path
    content: bytes
    version: str
    created: int
    verified: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A generator that can serve.

    measured: of engines and precisions on this machine, where there was a choice. max_batch: images of the largest pass
    that it will have, and pass_seconds: what that takes on one lane. golden: None if nothing was compared. everything: of a file
    that gives more than a picture.
    """

    contract: Contract
    engine: Engine
    measured: Result | None
    max_batch: int
    pass_seconds: float
    findings: trial.Findings
    golden: golden.GoldenErrors | None
    everything: further.Everything | None = None

    @property
    def unchecked(self) -> str | None:
        """What was not checked, in words."""
        if self.golden is not None:
            return None
        if self.engine.name == "fake":
            return "its images, which the fake engine makes up"
        return "its images against those of the network that was trained: the file has no golden samples"


def card_of(path: Path) -> Path:
    """Of a model file: README.md for generator.onnx, and for others what has their name, as generator-2.md."""
    return path.with_name(CARD) if path.name == FILE else path.with_suffix(".md")


def read(path: Path, name: str = "", expected: str = "") -> File:
    """name: the model's; that of the folder, if none is given. expected: what version it must be, if that is known.

    Raises ContractError for a bad name and for another version; OSError.
    """
    name = name or path.parent.name
    if not _NAME.fullmatch(name):
        what = "a model's folder name has lower-case letters, digits and . _ - only, at most 64"
        raise ContractError(what, "rename the folder")
    content = contents(path)
    created = int(path.stat().st_mtime)
    if expected not in ("", version(content)):
        what = f"the file changed after it was found: it is version {version(content)} now"
        raise ContractError(what, _RELOAD)
    card = card_of(path)
    verified = is_of_card(content, card.read_text("utf-8", "replace") if card.is_file() else "")
    return File(name, path, content, version(content), created, verified)


def load(file: File, settings: Settings, worker: int = 0) -> Loaded:
    """Check against the contract, start the engine, warm it up, judge what it draws, compare golden samples, time it.

    worker: which of the workers this is, from 0; GPUs are dealt out by it.
    Raises ContractError, EngineUnavailable, and whatever else an engine raises on a file that it can't run.
    """
    if settings.signing_key:
        signed.verify(file.path.parent, Path(settings.signing_key))
        if version(file.path.read_bytes()) != file.version:
            raise ContractError("the file changed while its signature was verified", _RELOAD)
    whole, contract = _whole(file.content, file.path.parent)
    content = rewired(whole, contract)
    engine, measured = choose(
        content,
        contract,
        settings,
        name=file.name,
        path=file.path,
        file_version=file.version,
        worker=worker,
    )
    _warm_up(engine, contract)
    max_batch, seconds = _largest_pass(engine, contract, settings.max_batch)
    findings = trial.judge(content, contract, engine, max_batch)
    metrics.invariance_levels.labels(file.name, file.version).set(findings.levels)
    is_made_up = settings.engine_of(file.name)[0] == "fake"  # and replies say so
    errors = None if is_made_up else _compare_golden(file, engine, contract)
    more = _everything(whole, contract, engine, max_batch, settings, worker) if contract.beside else None
    return Loaded(contract, engine, measured, max_batch, seconds, findings, errors, more)


def as_engines_run_it(file: bytes, folder: Path) -> tuple[bytes, Contract]:
    """The file with all weights inside, taking an image's row of numbers and a label; and its contract.

    folder: where the files of its weights are. Raises ContractError.
    """
    whole, contract = _whole(file, folder)
    return rewired(whole, contract), contract


def _whole(file: bytes, folder: Path) -> tuple[bytes, Contract]:
    contract = parse(file)
    if contract.weights:
        file = folded(file, contract.weights, folder)
        parse(file)
    return file, contract


def _everything(
    whole: bytes, contract: Contract, engine: Engine, max_batch: int, settings: Settings, worker: int
) -> further.Everything:
    """With an engine of its own, so that who wants pictures alone waits for nothing else."""
    other = again(engine, rewired(whole, contract, everything=True), contract, settings, worker)
    return further.load(
        contract, engine, other, max_batch, lambda one: _pass_seconds(one, contract, max_batch)
    )


def _forwards(engine: Engine) -> list[Forward]:
    """Each of them once."""
    return [*{id(forward): forward for forward in (engine.wide, *engine.lanes)}.values()]


def _warm_up(engine: Engine, contract: Contract) -> None:
    """Every shape that will be met, on every path that will meet it; of long passes the trial does that, too."""
    if not engine.buckets and _pass_seconds(engine, contract, 1) > LONG_SECONDS:
        return
    for size in engine.buckets or sorted({1, engine.max_batch}):
        for forward in _forwards(engine):
            forward(*inputs(contract, 0, size))


def _largest_pass(engine: Engine, contract: Contract, asked: int) -> tuple[int, float]:
    """Its images, and the seconds that it takes on one lane: of so many as are asked for, of the engine's own, or on CPU
    of as many of a quick generator's images as a short pass holds.
    """
    size = asked or engine.max_batch
    measured = min(size, engine.max_batch)
    seconds = size / measured * _pass_seconds(engine, contract, measured)
    while not (asked or engine.buckets) and size < MOST_IMAGES and 2 * seconds <= SHORT_SECONDS:
        size, seconds = 2 * size, 2 * seconds
    if measured < size and seconds < _SURE_SECONDS * size / measured:
        seconds = _pass_seconds(engine, contract, size)
    return size, seconds


def _pass_seconds(engine: Engine, contract: Contract, size: int) -> float:
    """A pass of so many images on one lane.

    By the thread's own time, where that is all: beside traffic every pass is disturbed.
    """
    clock = time.thread_time if engine.on_caller else time.monotonic
    return best_seconds(partial(engine.lanes[0], *inputs(contract, 0, size)), clock)


def _compare_golden(file: File, engine: Engine, contract: Contract) -> golden.GoldenErrors | None:
    """How far the last of its forward passes is from the golden samples; None if there are none.

    Raises ContractError where one gives other pictures.
    """
    errors = None
    for forward in _forwards(engine):
        errors = golden.compare(contract, forward)
        if errors is None:
            return None
        for statistic in ("max", "p99", "mean"):
            value = getattr(errors, statistic)
            metrics.golden_error_levels.labels(file.name, file.version, statistic).set(value)
        if excess := errors.excess(engine.precision):
            what = f"{engine.name} gives other pictures than the trained network: {excess}"
            raise ContractError(what, f"{COPY}, or try another GANSERVE_ENGINE or GANSERVE_PRECISION")
    return errors
