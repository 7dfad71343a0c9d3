"""One server, from its start to its end."""

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.server.servers import ROOT

START_SECONDS = 90
STREAK = 30  # answers in a row: one of several workers may be ready before the others


class ServerFailed(Exception):
    """It ended by itself, did not come to answer, or answered something else."""


def still_runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended just now
        return False


class Running:
    """A server that answers, and everything that it started."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.ready_seconds = 0.0
        self._process = process
        self._log = log
        self._seen: set[psutil.Process] = set()

    def wait_ready(self) -> None:
        """Return once requests are answered with 200. Raises ServerFailed, with the end of its log."""
        begun = time.monotonic()
        streak = 0
        while streak < STREAK:
            if self.answers() == 200:
                if streak == 0:
                    self.ready_seconds = time.monotonic() - begun
                streak += 1
                continue
            streak = 0
            if self._process.poll() is not None or time.monotonic() > begun + START_SECONDS:
                tail = self._log.read_text(errors="replace").strip()[-2000:]
                raise ServerFailed(f"it did not come to answer: {tail or 'it printed nothing'}")
            time.sleep(0.02)

    def answers(self) -> int | None:
        """The status of a request for one image; None if the connection failed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"label": 0, "n": 1, "seed": 0, "format": "png"})
        try:
            connection.request("POST", "/v1/samples", body, {"content-type": "application/json"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def tree(self) -> set[psutil.Process]:
        """Every process that was ever seen under this one and still runs."""
        try:
            parent = psutil.Process(self._process.pid)
            self._seen |= {parent, *parent.children(recursive=True)}
        except psutil.NoSuchProcess:
            pass
        return {one for one in self._seen if still_runs(one)}

    def memory_mb(self) -> float:
        """PSS: pages that several of its processes share are counted once."""
        return sum(one.memory_full_info().pss for one in self.tree()) / 1e6

    def cpu_seconds(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.tree())

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to whatever is left."""
        self.tree()
        if self._process.poll() is None:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        _, left = psutil.wait_procs(self.tree(), timeout=3)
        for one in left:
            one.kill()
        self._process.wait()


@contextmanager
def running(command: Sequence[str], environ: dict[str, str], port: int, home: Path) -> Iterator[Running]:
    """A server that was asked a first time and answered. Raises ServerFailed."""
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    server = Running(process, port, log)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one start of one server: its log, and what it keeps at home."""
    with tempfile.TemporaryDirectory(prefix="ganserve-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
