"""The service itself on this machine: 1 to 256 connections beside the raw limit; a reload and a drain under load."""

import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu import sessions
from benchmarks.gpu.part import Part
from service.generator.contract import parse
from service.generator.engines.cuda import PROVIDER, SIZES, BoundPasses
from service.generator.engines.lone import inputs

ROOT = Path(__file__).parents[2]
CONNECTIONS = (64, 1, 16, 256)
KINDS = {"one PNG": (1, '"n": 1, "format": "png"'), "16 raw": (16, '"n": 16, "format": "npy"')}
_NEEDS = ("bentoml", "uvloop", "httptools", "psutil", "msgspec", "prometheus_client", "pynvml")
_SECONDS = 1.0
_WARM_SECONDS = 0.5
_AROUND_SECONDS = 3.0
DRAIN_SECONDS = 2.0
ANOTHER = "ns-r1"
OK, REFUSED, DRAINING = 200, 429, 503


def run(part: Part) -> None:
    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        return part.leave_out(f"not installed: {', '.join(missing)}")
    from benchmarks.server.running import ServerFailed, free_port, running

    raw = _raw_limit(part)
    with tempfile.TemporaryDirectory(prefix="ganserve-gpu-") as home:
        models = Path(home) / "models" / sessions.SHIPPED
        shutil.copytree(sessions.MODELS / sessions.SHIPPED, models)
        port = free_port()
        command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
        try:
            with running(command, _environment(Path(home), part), port, Path(home)) as server:
                part.row("start", ready_seconds=server.ready_seconds)
                engine = json.loads(_ask(port, "GET", f"/v1/models/{sessions.SHIPPED}"))["engine"]
                want = PROVIDER if part.card else "CPUExecutionProvider"
                part.check(
                    "the service's provider",
                    engine["provider"] == want,
                    f"{engine['provider']}: {engine['reason']}",
                )
                _loads(part, port, raw)
                if part.has_time("reload under load", _AROUND_SECONDS + 2):
                    _reload(part, port, models)
                if part.has_time("drain under load", DRAIN_SECONDS + _AROUND_SECONDS):
                    _drain(part, port, server)
        except ServerFailed as error:
            part.check("the service starts", False, str(error)[-600:])
    return None


def _raw_limit(part: Part) -> float:
    """Images per second of the engine's passes, at the best of some batches."""
    file = (sessions.MODELS / sessions.SHIPPED / "generator.onnx").read_bytes()
    contract, found = parse(file), []
    session = sessions.session(part, file, "fp32")
    for batch in (16, *SIZES):
        passes, given = BoundPasses(session, contract, (batch,), part.device), inputs(contract, 0, batch)
        found.append(sessions.rate(lambda p=passes, g=given: p(*g), batch, 0.3)["images_per_second"])
    part.row("raw limit", images_per_second=max(found))
    return max(found)


def _environment(home: Path, part: Part) -> dict[str, str]:
    dropped = ("GANSERVE_", "BENTOML_", "PROMETHEUS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {
        "BENTOML_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "GANSERVE_MODELS": str(home / "models"),
        "GANSERVE_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "GANSERVE_WORKERS": "1",
        "GANSERVE_ENGINE": "onnxruntime",
    }


def _loads(part: Part, port: int, raw: float) -> None:
    from benchmarks.clients import flood

    for kind, (n, fields) in KINDS.items():
        for connections in CONNECTIONS:
            what = f"{kind}, {connections} connections"
            if not part.has_time(what, _SECONDS + _WARM_SECONDS + 2 * _AROUND_SECONDS + 2 * DRAIN_SECONDS):
                continue
            for seconds in (_WARM_SECONDS, _SECONDS):
                came = flood.offer(
                    port, flood.samples(fields), seconds=seconds, connections=connections, tail_seconds=5
                )
            begin = came.ended - _SECONDS
            images = n * came.answered_in(OK, begin, came.ended) / _SECONDS
            figures: dict[str, Any] = {"images_per_second": images, "share_of_raw": images / raw}
            figures |= {f"p{level}_ms": 1000 * came.quantile(OK, level / 100) for level in (50, 99)}
            _count(part, what, came, (OK, REFUSED), **figures)


def _reload(part: Part, port: int, folder: Path) -> None:
    """Another version comes into the models folder, which is read again while 16 clients ask."""
    from service.admin import order

    shutil.copyfile(sessions.MODELS / ANOTHER / "generator.onnx", folder / "generator-2.onnx")
    said: list[str] = []
    came = _under_load(port, threading.Timer(0.5, lambda: said.append(_order(order, port, "reload"))), 2.0)
    _count(part, "reload under load", came, (OK, REFUSED))
    versions = json.loads(_ask(port, "GET", f"/v1/models/{sessions.SHIPPED}"))["versions"]
    ready = [one["version"] for one in versions if one["state"] == "ready"]
    part.check(
        "both versions are ready", len(ready) == 2, f"{', '.join(ready)}" if len(ready) == 2 else f"{said}"
    )


def _drain(part: Part, port: int, server: Any) -> None:
    """SIGTERM while 16 clients ask: what was accepted is answered, and the process ends."""
    told = threading.Timer(0.5, lambda: [one.send_signal(signal.SIGTERM) for one in _first(server)])
    begun = time.monotonic()
    came = _under_load(port, told, DRAIN_SECONDS / 2)
    _count(part, "drain under load", came, (OK, REFUSED, DRAINING))
    while server.tree() and time.monotonic() < begun + DRAIN_SECONDS + 15:
        time.sleep(0.05)
    part.check("the service ends", not server.tree(), f"{time.monotonic() - begun - 0.5:.1f} s after SIGTERM")


def _first(server: Any) -> list[Any]:
    """The process that started the others."""
    return sorted(server.tree(), key=lambda one: one.create_time())[:1]


def _under_load(port: int, event: threading.Timer, seconds: float) -> Any:
    from benchmarks.clients import flood

    event.start()
    try:
        return flood.offer(
            port, flood.samples(KINDS["one PNG"][1]), seconds=seconds, connections=16, tail_seconds=5
        )
    finally:
        event.join()


def _count(part: Part, what: str, came: Any, allowed: tuple[int, ...], **figures: Any) -> None:
    """A row, and whether every answer is one of those allowed."""
    errors = sum(status not in allowed for status in came.statuses)
    answered = {str(status): came.count(status) for status in sorted(set(came.statuses))}
    part.row(what, requests=len(came.statuses), answered=answered, **figures)
    part.check(what, not errors and came.count(OK) > 0, f"{errors} errors in {len(came.statuses)} requests")


def _order(order: Any, port: int, path: str) -> str:
    try:
        return str(order(f"http://127.0.0.1:{port}", path, {}, ""))
    except (OSError, ValueError) as error:
        return f"refused: {error}"


def _ask(port: int, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()
