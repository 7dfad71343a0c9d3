"""Which engine and precision is the fastest on this CPU, for this file: measured, and remembered.

python -m service.generator.engines.race FILE ...      measures what is not known yet, one file after another

In a process of its own: the engine that loses leaves no memory behind, and its crash ends nothing else. By the CPU time
of passes on one thread, so that a machine that is busy meanwhile changes little; under load all cores are.
"""

import fcntl
import hashlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path

import msgspec
from msgspec import Struct

from service.errors import ContractError
from service.generator.contract import Contract, parse, version
from service.generator.engine import Forward
from service.generator.engines.lone import inputs
from service.generator.file.reading import contents
from service.generator.file.rewired import rewired
from service.machine.hardware import cpu_flags, cpu_name

log = logging.getLogger("bentoml.ganserve.engines")

BUDGET_SECONDS = 0.05
"""Of passes, for each engine and precision; two passes in any case."""
MOST_SECONDS = 30.0
"""Until a file's figures are waited for no longer."""
_MOST_IMAGES = 16
_LONGEST_PASS_SECONDS = 0.1
_LOOK_SECONDS = 0.02


class Figure(Struct, frozen=True):
    """images_per_second: on one core."""

    engine: str
    precision: str
    images_per_second: float


class Result(Struct, frozen=True):
    """What was measured, on which CPU; the fastest first."""

    cpu: str
    figures: list[Figure]


_running: threading.Thread | None = None
"""Waits for the process that measures."""


def start(files: Sequence[Path]) -> None:
    """Measure these beside everything else, where there is something to choose and it is not known yet."""
    global _running
    if util.find_spec("openvino") and (folder := _folder()) is not None:
        _running = threading.Thread(target=_run, args=(files, folder), name="race", daemon=True)
        _running.start()


def result(path: Path, file_version: str) -> Result | None:
    """The figures of a file, waited for while they are being measured; None if there are none to be had."""
    if not util.find_spec("openvino") or (folder := _folder()) is None:
        return None
    entry = folder / _key(file_version)
    end = time.monotonic() + MOST_SECONDS
    if not entry.exists() and (_running is None or not _running.is_alive()):
        start([path])
    while not entry.exists() and _running is not None and _running.is_alive() and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    try:
        return msgspec.json.decode(entry.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as error:
        log.warning(
            "%s: no engine was measured for it: %s", path, error, extra={"event": "engine_unmeasured"}
        )
        return None


def remembered(told: Sequence[str], measure: Callable[[], Result]) -> Result:
    """What was measured under these words by the first process that asked; measured now where it is not known, or can't be kept."""
    folder = _folder()
    if folder is None:
        return measure()
    entry = folder / f"{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:32]}.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that measure at once would measure each other
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(entry.read_bytes(), type=Result)
        found = measure()
        with suppress(OSError):
            new = entry.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(found))
            new.replace(entry)
    return found


def release(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _run(files: Sequence[Path], folder: Path) -> None:
    # A process that finds nothing to do costs half a second of the start.
    if unknown := [str(path) for path in files if not _is_known(path, folder)]:
        command = [sys.executable, "-m", "service.generator.engines.race", *unknown]
        # Ctrl-C in a terminal is for it too. It inherits this, until it can end without a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)


def _is_known(path: Path, folder: Path) -> bool:
    with suppress(OSError):  # whoever loads the file says what is wrong with it
        return (folder / _key(version(contents(path)))).exists()
    return True


def measure(file: bytes) -> Result:
    """Every engine and precision that this CPU has, in turn. Raises ContractError."""
    contract = parse(file)
    if contract.weights:
        raise ContractError("its weights lie beside it", "set GANSERVE_ENGINE")
    file = rewired(file, contract)
    figures = []
    for name, precision in _candidates():
        try:
            passes = _make(name, file, contract, precision)
        except Exception as error:  # an engine may raise anything on a file that it can't run
            log.info("%s in %s can't run it: %s", name, precision, error, extra={"event": "engine_cannot"})
            continue
        alone = inputs(contract, 0, 1)
        passes(*alone)
        begun = time.process_time()
        passes(*alone)
        best = max(time.process_time() - begun, 1e-6)
        size = max(1, min(_MOST_IMAGES, int(_LONGEST_PASS_SECONDS / 2 / best)))
        spent, count = best, 1
        if size > 1:
            given = inputs(contract, 0, size)
            passes(*given)
            best, spent, count = float("inf"), 0.0, 0
        else:
            given = alone
        while count < 2 or spent < BUDGET_SECONDS:
            begun = time.process_time()
            passes(*given)
            seconds = time.process_time() - begun
            best, spent, count = min(best, seconds), spent + seconds, count + 1
        figures.append(Figure(name, precision, size / max(best, 1e-9)))
    return Result(cpu_name(), sorted(figures, key=lambda figure: -figure.images_per_second))


def _candidates() -> list[tuple[str, str]]:
    import openvino

    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [("onnxruntime", "fp32"), ("openvino", "fp32")] + [("openvino", "bf16")] * has_bf16


def _make(name: str, file: bytes, contract: Contract, precision: str) -> Forward:
    if name == "openvino":
        from service.generator.engines.ov import OpenVinoEngine

        return OpenVinoEngine(file, contract, precision=precision, threads=1).lanes[0]
    from service.generator.engines.ort import OrtEngine

    return OrtEngine(file, contract, cuda=False, precision=precision, threads=1).lanes[0]


def _key(file_version: str) -> str:
    """Another CPU, another release of an engine or another file has another."""
    releases = [metadata.version("openvino"), *(release(f"onnxruntime{gpu}") for gpu in ("", "-gpu"))]
    told = "\n".join([cpu_name(), *sorted(cpu_flags()), *releases, file_version])
    return f"{file_version}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"


def _folder() -> Path | None:
    """Where results are kept: the user's cache, or where that can't be written, the folder of temporary files."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    for folder in (
        cache / "ganserve" / "engines",
        Path(tempfile.gettempdir()) / f"ganserve-engines-{os.getuid()}",
    ):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return None


def _main(paths: Sequence[str]) -> None:
    folder = _folder()
    if folder is None:
        sys.exit("ganserve: no folder to keep figures in: set XDG_CACHE_HOME")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that measure at once would measure each other
        for path in map(Path, paths):
            try:
                file = contents(path)
                entry = folder / _key(version(file))
                if not entry.exists():
                    new = entry.with_suffix(".new")
                    new.write_bytes(msgspec.json.encode(measure(file)))
                    new.replace(entry)
                print(path, entry.read_text())
            except Exception as error:  # whoever loads the file says what is wrong with it
                print(f"{path}: not measured: {error}", file=sys.stderr)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _main(sys.argv[1:])
