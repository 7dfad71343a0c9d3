"""More than the engine can do: deadlines, a full queue, clients that leave."""

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import generators
from tests.generators import Tiny
from tests.system.serving import serving
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A server whose model takes some 0.1 s a pass, on one lane, with room for 128 images; and what it said while it loaded."""
    models = generators.folder(
        tmp_path_factory.mktemp("models"), {"slow": Tiny(burn=400, golden_samples=0).file()}
    )
    home = tmp_path_factory.mktemp("slow") / "home"
    limits: dict[str, Any] = {"threads": 1, "max_queue_images": 128, "max_images_per_request": 64}
    limits["max_wait_seconds"] = 30
    with serving(home, until="/livez", models=models, engine="onnxruntime", **limits) as one:
        early = one.samples(seed=1), one.get("/readyz"), one.get("/v1/models/slow")
        wait_until(lambda: one.answers("/readyz"), seconds=60)
        yield one, early


def test_a_request_while_the_model_loads_is_told_to_come_back(slow):
    _, (sample, ready, card) = slow
    assert (sample.status_code, sample.json()["code"], sample.headers["retry-after"]) == (
        503,
        "not_ready",
        "1",
    )
    assert (ready.status_code, ready.json()["models"]) == (503, {"slow": "loading"})
    assert card.json()["state"] == "loading"


def test_a_deadline_is_kept_while_the_engine_is_busy(slow):
    server, _ = slow
    before = server.metric("ganserve_dropped_total", reason="deadline")
    response = server.samples(n=64, timeout=0.05)
    assert (response.status_code, response.json()["code"]) == (504, "deadline_passed")
    assert server.metric("ganserve_dropped_total", reason="deadline") == before + 1
    wait_until(lambda: server.metric("ganserve_queue_images") == 0)
    assert server.samples(seed=1).status_code == 200


def test_a_full_queue_refuses_at_once_and_recovers(slow):
    server, _ = slow
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda seed: server.samples(seed=seed, n=16, format="npy"), range(20)))
    statuses = [reply.status_code for reply in replies]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 8
    for reply in replies:
        if reply.status_code == 429:
            assert reply.json()["code"] == "queue_full"
            assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert server.metric("ganserve_refused_total", reason="queue_full") == statuses.count(429)
    accepted = next(seed for seed, reply in enumerate(replies) if reply.status_code == 200)
    assert server.samples(seed=accepted, n=16, format="npy").content == replies[accepted].content


def test_work_of_clients_that_left_is_dropped_and_not_computed(slow):
    server, _ = slow
    passes = server.metric("ganserve_forward_passes_total", model="slow")
    body = b'{"n": 64}'
    head = b"POST /v1/samples HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
    for connection in connections:
        connection.sendall(head + body)
    wait_until(lambda: server.metric("ganserve_queue_images") > 0)
    for connection in connections:
        # A reset. One that is only closed may still be read from, and is asked for half a second: a fast CPU is done by then.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    wait_until(lambda: server.metric("ganserve_dropped_total", reason="disconnect") == 2)
    wait_until(lambda: server.metric("ganserve_queue_images") == 0)
    assert server.samples(n=1).status_code == 200
    assert server.metric("ganserve_forward_passes_total", model="slow") - passes < 2 * 64 / 8


def test_liveness_and_metrics_are_answered_while_the_engine_is_busy(slow):
    server, _ = slow
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.samples, n=64, seed=1)
        wait_until(lambda: server.metric("ganserve_queue_images") > 0)
        assert server.get("/livez", timeout=2).status_code == 200
        assert busy.result().status_code == 200


def test_sigterm_without_any_grace_still_answers_what_was_accepted(slow):
    server, _ = slow  # the last test of this file: it ends the server
    with ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(server.samples, n=64, seed=seed) for seed in range(2)]
        # Of both; to be seen within some seven passes.
        wait_until(lambda: server.metric("ganserve_queue_images") > 64)
        ended = server.stop()
        assert [one.result().status_code for one in accepted] == [200, 200]
    assert ended == 0
