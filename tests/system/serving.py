"""Real `bentoml serve` processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.server.running import still_runs
from service.machine import instance
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def environment(home: Path, settings: dict[str, Any]) -> dict[str, str]:
    """The caller's environment with these GANSERVE_ settings and no others but one worker, and a BentoML home of its own."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GANSERVE_", "PROMETHEUS_", "BENTOML_"))
    }
    # One worker, whatever the machine has: a second one makes each start dearer, and is tested where it is asked for.
    settings = {"workers": 1} | settings
    ours = {f"GANSERVE_{name.upper()}": str(value) for name, value in settings.items()}
    return kept | ours | {"BENTOML_HOME": str(home), "PYTHONWARNINGS": "default"}


def command(
    port: int | str, bento: str | None = None, flags: Sequence[str] = (), host: str = "127.0.0.1"
) -> list[str]:
    """`bentoml serve` of this repository, or of a bento."""
    what = [] if bento is None else [bento]
    return [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        *what,
        "--host",
        host,
        "--port",
        str(port),
        *flags,
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def events(log: str) -> list[dict[str, Any]]:
    """The lines that the service wrote. Before it is imported libraries warn, since they are asked to."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


class Server:
    """One `bentoml serve` and everything that it starts."""

    def __init__(
        self,
        home: Path,
        settings: dict[str, Any],
        bento: str | None = None,
        folder: Path = ROOT,
        *,
        flags: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        arguments: Sequence[str | Path] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """flags: more of `bentoml serve`. arguments: another command than that, `{port}` in it filled in.

        variables: of its environment.
        """
        self.host, self.port = host, port or free_port()
        scheme = "https" if "--ssl-certfile" in flags else "http"
        self.url = f"{scheme}://{host}:{self.port}"
        self._log = home / "serve.log"
        home.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(argument).replace("{port}", str(self.port)) for argument in arguments]
                or command(self.port, bento, flags, host),
                cwd=folder,
                env=environment(home, settings) | dict(variables),
                stdout=log,
                stderr=log,
            )
        self._tree: set[psutil.Process] = set()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log's lines."""
        return events(self.log)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=60, **options)

    @property
    def folder(self) -> Path:
        """What its processes share."""
        found = instance.find(self.host, self.port)
        assert found is not None
        return found[1]

    @property
    def token(self) -> dict[str, str]:
        """The header that its own user sends with an order."""
        return {"authorization": f"Bearer {instance.token(self.folder)}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def samples(self, **fields: Any) -> httpx.Response:
        with self.client() as client:
            return client.post("/v1/samples", json=fields)

    def answers(self, path: str, status: int = 200) -> bool:
        """Whether `path` answers `status` now; notes on the way which processes there are."""
        self.tree()
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{self.log}")
        try:
            return self.get(path).status_code == status
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def tree(self) -> set[psutil.Process]:
        """Every process that was ever seen under this one and still runs."""
        try:
            parent = psutil.Process(self.process.pid)
            self._tree |= {parent, *parent.children(recursive=True)}
        except psutil.NoSuchProcess:
            pass
        return {one for one in self._tree if still_runs(one)}

    def workers(self) -> set[psutil.Process]:
        return {one for one in self.tree() if one.pid != self.process.pid}

    def stop(self) -> int:
        """SIGTERM, as an orchestrator sends it. Returns the exit status."""
        self.tree()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def assert_gone(self) -> None:
        """Nothing that it started runs, and another server can have the port."""
        wait_until(lambda: not self.tree())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))


@contextmanager
def serving(
    home: Path,
    *,
    until: str = "/readyz",
    status: int = 200,
    bento: str | None = None,
    folder: Path = ROOT,
    flags: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    arguments: Sequence[str | Path] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
    **settings: Any,
) -> Iterator[Server]:
    """A server that has come to answer `until` with `status`; at the end it is stopped, and leaves nothing behind."""
    server = Server(
        home,
        {"drain_seconds": 0, **settings},
        bento,
        folder,
        flags=flags,
        host=host,
        port=port,
        arguments=arguments,
        variables=variables,
    )
    try:
        # Beside a training on all cores four small models took more than a minute; a server that ends is told at once.
        wait_until(lambda: server.answers(until, status), seconds=300)
        yield server
        server.stop()
        server.assert_gone()
    finally:
        for process in server.tree():
            process.kill()
        server.process.wait()
