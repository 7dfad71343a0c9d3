"""`/livez` beside clients that want all of the event loop, one and fifty at a time, of every kind that `greedy` knows."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import generators
from tests.generators import Tiny
from tests.system.hostile.greedy import KINDS
from tests.system.serving import ROOT, Server, serving
from tests.waiting import wait_until

MOST_SECONDS = 0.1
PROBES, MOST_PROBING_SECONDS = 150, 8
TRIES = 4  # the least counts, since others disturb
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A model whose passes the event loop may run, and images of 12 KB: what is owed for 256 of them is 3 MB."""
    home = tmp_path_factory.mktemp("starving")
    models = generators.folder(home / "models", {"tiny": Tiny(image=(3, 64, 64), golden_samples=0).file()})
    # Who takes nothing is cut off while the test looks.
    with serving(home / "home", models=models, engine="fake", client_seconds=2, timeout_seconds=5) as one:
        yield one


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    return {}


@contextmanager
def greedy(server: Server, kind: str, connections: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.system.hostile.greedy", str(server.port), kind, str(connections)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"begun\n"
            yield
            assert process.poll() is None
        finally:
            process.kill()


def livez_seconds(server: Server) -> float:
    """The 99th percentile of what a new connection waits for."""
    seconds: list[float] = []
    end = time.monotonic() + MOST_PROBING_SECONDS
    while len(seconds) < PROBES and time.monotonic() < end:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(LIVEZ)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        seconds.append(time.monotonic() - begun)
    return sorted(seconds)[int(0.99 * len(seconds))]


@pytest.mark.parametrize("connections", [1, 50])
@pytest.mark.parametrize("kind", KINDS)
def test_livez_answers_beside(server, table, kind, connections):
    p99: list[float] = []
    while len(p99) < TRIES and min(p99, default=1) > MOST_SECONDS:
        with greedy(server, kind, connections):
            p99.append(livez_seconds(server))
    table[f"{connections} x {kind}"] = f"{1000 * min(p99):.0f} ms"
    assert min(p99) <= MOST_SECONDS, "\n".join(f"{name}: {seconds}" for name, seconds in table.items())


def memory_bytes(server: Server) -> int:
    return sum(process.memory_info().rss for process in server.workers())


@pytest.mark.parametrize("kind", ["samples of 256, npy", "/openapi.json", "chunks of a byte"])
def test_what_is_owed_to_who_reads_nothing_is_bounded(server, kind):
    """Fifty connections, of which each may be owed 64 KiB and a reply of 3 MB, and have sent 320 KiB ahead."""
    wait_until(lambda: server.metric("ganserve_queue_images") == 0)
    before = memory_bytes(server)
    with greedy(server, kind, 50):
        livez_seconds(server)
        assert memory_bytes(server) - before < 50 * 2 * 3_200_000
    wait_until(lambda: server.metric("ganserve_queue_images") == 0)
