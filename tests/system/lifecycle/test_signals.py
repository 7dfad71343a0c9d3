"""What ends the service, at whatever moment it comes."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.server.running import still_runs
from tests.system.serving import Server, command, environment, free_port, serving
from tests.waiting import wait_until


def catches(process: subprocess.Popen[bytes], wanted: signal.Signals) -> bool:
    """Whether BentoML's parent process has a handler of its own."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(mask >> (wanted - 1) & 1)


@contextmanager
def starting(home: Path, models: Path) -> Iterator[Server]:
    """A server in a process group of its own; whatever is left of it at the end is an error."""
    server = Server(
        home,
        {"models": models, "engine": "fake", "drain_seconds": 0},
        arguments=["setsid", *command("{port}")],
    )
    try:
        yield server
        server.assert_gone()
    finally:
        for process in server.tree():
            process.kill()
        server.process.wait()


@pytest.mark.parametrize(
    ("wanted", "milliseconds"),
    [(signal.SIGTERM, 0), (signal.SIGTERM, 50), (signal.SIGINT, 5), (signal.SIGHUP, 0), (signal.SIGHUP, 500)],
)
def test_a_signal_that_comes_while_workers_are_started_ends_them(
    small_models, tmp_path, wanted, milliseconds
):
    with starting(tmp_path / "home", small_models) as server:
        wait_until(lambda: catches(server.process, signal.SIGTERM), seconds=60)
        time.sleep(milliseconds / 1000)
        server.tree()
        server.process.send_signal(wanted)
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize("milliseconds", [0, 400])
def test_a_signal_that_comes_before_there_is_anything_to_end_ends_the_start(
    small_models, tmp_path, milliseconds
):
    with starting(tmp_path / "home", small_models) as server:
        time.sleep(milliseconds / 1000)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) in (-signal.SIGTERM, 0)
        assert "Traceback" not in server.log


def test_a_hangup_that_nohup_ignores_changes_nothing(small_models, tmp_path):
    arguments = ["setsid", "nohup", *command("{port}")]
    with serving(
        tmp_path / "home", arguments=arguments, models=small_models, engine="fake", workers=2
    ) as server:
        workers = server.workers()
        os.killpg(server.process.pid, signal.SIGHUP)
        wait_until(lambda: server.answers("/readyz"))
        assert server.workers() == workers


def test_a_service_ends_with_its_terminal(small_models, tmp_path):
    port = free_port()
    settings = {"models": small_models, "engine": "fake", "drain_seconds": 0}
    ours, its = os.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        ["setsid", "--ctty", *command(port)],
        env=environment(tmp_path, settings),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    try:

        def answers() -> bool:
            with contextlib.suppress(BlockingIOError):
                os.read(ours, 65536)  # or it would wait for a reader
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
            return False

        wait_until(answers, seconds=60)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.close(ours)
        assert process.wait(20) == 0
        wait_until(lambda: not any(still_runs(one) for one in workers))
    finally:
        process.kill()
        process.wait()
