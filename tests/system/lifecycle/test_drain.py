"""The ways to end a server: a route, a command, SIGTERM; and clients that would keep it from ending."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import generators
from tests.generators import Tiny
from tests.system.gate import Gate
from tests.system.serving import ROOT, serving
from tests.waiting import wait_until

DRAIN = "/v1/admin/drain"

PASS_SECONDS = "0.2"
HEAD = b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n"
LARGE = b"GET /static_content/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"
# All that is asked behind the order has to come within the first, on a machine that does much else, too.
GRACE_SECONDS, TIMEOUT_SECONDS = 3, 4


@pytest.fixture
def faults(tmp_path):
    return tmp_path / "faults"


@pytest.fixture
def slow(tmp_path, faults):
    """A server of one lane, which is a thread."""
    faults.write_text("0.02")  # at the start too, so that the event loop is no lane
    models = generators.folder(tmp_path / "models", {"tiny": Tiny(golden_samples=0).file()})
    engine: dict[str, Any] = {"engine": "fake", "fake_faults": faults, "threads": 1, "max_batch": 8}
    limits: dict[str, Any] = {"drain_seconds": GRACE_SECONDS, "timeout_seconds": TIMEOUT_SECONDS}
    with serving(tmp_path / "home", models=models, **engine, **limits) as server:
        yield server


def drain(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.drain", url], cwd=ROOT, capture_output=True, text=True, timeout=20
    )


def test_the_command_drains_as_sigterm_does_and_clients_that_do_nothing_keep_nobody_waiting(slow, faults):
    # A half-sent body, a half-sent head, nothing at all, and answers that nobody takes.
    sent = [HEAD + b"{", HEAD[:30], b"", 20 * LARGE]
    connections = [socket.create_connection(("127.0.0.1", slow.port), timeout=20) for _ in sent]
    for connection, data in zip(connections, sent, strict=True):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(data)
    with ThreadPoolExecutor(3) as pool, slow.client() as client:
        gate = Gate(faults)
        gate.close()
        accepted = [pool.submit(slow.samples, n=16, seed=seed) for seed in range(3)]
        wait_until(gate.is_reached)
        wait_until(lambda: slow.metric("ganserve_queue_images") == 2 * 16 + 8)
        gate.open(PASS_SECONDS, then=PASS_SECONDS)
        told = drain(slow.url)
        begun = time.monotonic()  # behind the command, whose own start may take as long as a grace
        assert (told.returncode, told.stderr) == (0, "")
        assert '"draining":true' in told.stdout
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["draining"]) == (503, True)
        assert client.post(DRAIN, headers=slow.token).status_code == 202, "asked again, it does no harm"
        late = client.post("/v1/samples", json={"seed": 9})
        assert {late.status_code, *(one.result().status_code for one in accepted)} == {200}
    wait_until(lambda: slow.process.poll() is not None)
    assert slow.process.returncode == 0
    assert time.monotonic() - begun < GRACE_SECONDS + TIMEOUT_SECONDS + 5
    slow.assert_gone()
    for connection in connections:
        connection.close()
    nobody = drain(slow.url)
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("ganserve: not drained: ")
    assert len(nobody.stderr.splitlines()) == 1
