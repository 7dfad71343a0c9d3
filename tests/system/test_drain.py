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
from tests.system.serving import ROOT, Server, serving
from tests.waiting import wait_until

DRAIN = "/v1/admin/drain"


@pytest.fixture
def slow(tmp_path):
    """A server whose passes take 0.2 s, with a short grace period and requests of 5 s at most."""
    faults = tmp_path / "faults"
    faults.write_text("0.02")  # at the start too, so that the event loop is no lane
    models = generators.folder(tmp_path / "models", {"tiny": Tiny(golden_samples=0).file()})
    engine: dict[str, Any] = {"engine": "fake", "fake_faults": faults, "threads": 1, "max_batch": 8}
    limits: dict[str, Any] = {"drain_seconds": 1, "timeout_seconds": 5, "client_seconds": 20}
    with serving(tmp_path / "home", models=models, **engine, **limits) as server:
        faults.write_text("0.2")
        yield server


def has_drained(server: Server, replies: list[int]) -> bool:
    """Whether it was not ready at once, answered what it had accepted, and ended as if nothing had happened."""
    wait_until(lambda: server.process.poll() is not None)
    server.assert_gone()
    return set(replies) == {200} and server.process.returncode == 0


def test_the_drain_route_does_what_sigterm_does(slow):
    with ThreadPoolExecutor(3) as pool:
        accepted = [pool.submit(slow.samples, n=16, seed=seed) for seed in range(3)]
        wait_until(lambda: slow.metric("ganserve_queue_images") > 30)
        with slow.client() as client:
            drained = client.post(DRAIN)
            assert (drained.status_code, drained.json()["draining"]) == (202, True)
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["draining"]) == (503, True)
            assert client.post(DRAIN).status_code == 202, "asked again, it does no harm"
            late = client.post("/v1/samples", json={"seed": 9})
        assert has_drained(slow, [late.status_code, *(one.result().status_code for one in accepted)])


@pytest.mark.parametrize(
    "headers",
    [{"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}, {"origin": "http://localhost:3000"}],
)
def test_only_programs_on_the_machine_itself_can_drain(server, headers):
    with server.client() as client:
        refused = client.post(DRAIN, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "local_only")
        assert client.get(DRAIN).status_code == 405
        assert client.get("/readyz").status_code == 200


def test_the_command_drains_and_clients_that_do_nothing_keep_nobody_waiting(slow):
    """A half-sent body, a half-sent head, an answer that nobody takes, and a connection that is silent."""
    head = b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    large = b"GET /static_content/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"
    sent = [head % 20 + b"{", head[:30], b"", 20 * large]
    connections = [socket.create_connection(("127.0.0.1", slow.port), timeout=20) for _ in sent]
    for connection, data in zip(connections, sent, strict=True):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(data)
    accepted = slow.samples(seed=1)
    begun = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "service.drain", slow.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert told.returncode == 0, told.stderr
    assert '"draining":true' in told.stdout
    assert has_drained(slow, [accepted.status_code])
    # The grace period, the longest request, and a little.
    assert time.monotonic() - begun < 1 + 5 + 5
    for connection in connections:
        connection.close()
    nobody = subprocess.run(
        [sys.executable, "-m", "service.drain", slow.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert nobody.returncode == 1
    assert "not drained" in nobody.stderr
    assert "Traceback" not in nobody.stderr
