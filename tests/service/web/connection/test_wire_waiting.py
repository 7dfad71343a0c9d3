"""Requests that wait, are late, or are left by their client, where they are answered from the connection."""

import contextlib
import json
import socket
import time
from typing import Any

import pytest

from service.registry.models import Models
from service.settings import Settings
from service.web.connection.turns import MOST_HELD_BYTES
from tests import generators
from tests.generators import Tiny
from tests.service.web.connection.wired import BODY, LAST, Served, answers, counted, request, served
from tests.service.web.site import refused
from tests.waiting import wait_until


def test_a_body_as_long_as_what_may_wait_is_read_to_its_end(gated):
    """The connection stops reading past what may wait, and must not wait for more of it then."""
    tiny = gated(timeout_seconds=3)
    tiny.gate.set()
    for size in (MOST_HELD_BYTES - 200, MOST_HELD_BYTES - 60, MOST_HELD_BYTES):
        whole = request(BODY + b" " * (size - len(BODY)))
        for left in (1, 30, 80):
            with tiny.served.connection() as connection:
                connection.sendall(whole[:-left])
                tiny.served.ask(request())  # meanwhile it has come
                connection.sendall(whole[-left:] + LAST)
                sent = b""
                while chunk := connection.recv(65536):
                    sent += chunk
            assert [status for status, *_ in answers(sent)] == [200, 200], (size, left)


def test_a_client_that_leaves_is_dropped_from_the_queue_and_counted(gated):
    one = gated()
    before = counted(499)
    with one.served.connection() as first, one.served.connection() as second:
        first.sendall(request(b'{"seed": 1}'))
        wait_until(lambda: one.passes)
        second.sendall(request(b'{"seed": 1, "n": 4}'))
        wait_until(lambda: one.batcher.accepted_images == 5)
        second.close()
        wait_until(lambda: one.batcher.accepted_images == 1)
        one.gate.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200")
    assert one.passes == [1]
    assert counted(499) == before + 1


def test_a_deadline_holds(gated):
    one = gated()
    refused(one.served.post(b'{"timeout": 0.05}'), 504, "deadline_passed")


def test_a_full_queue_is_told_at_once(gated):
    one = gated(max_queue_images=256)
    with one.served.connection() as connection:
        connection.sendall(request(b'{"n": 256}'))
        wait_until(lambda: one.batcher.accepted_images == 256)
        response = one.served.post(b"{}")
        refused(response, 429, "queue_full")
        assert int(response.headers["retry-after"]) >= 1


def test_a_body_that_does_not_come_is_408(gated):
    one = gated(timeout_seconds=0.1)
    with one.served.connection() as connection:
        connection.sendall(request(BODY)[:-3])
        ((status, headers, body),) = answers(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert (status, headers["connection"], json.loads(body)["code"]) == (408, "close", "body_timeout")


def late(one: Served, body: bytes, seconds: float) -> int:
    """The status for a request whose body comes so long after its head."""
    with one.connection() as connection:
        head, rest = request(body).split(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        # From here on the request's time runs: a busy machine would else read head and body at once.
        connections: Any = one.server.server_state.connections
        wait_until(lambda: any(each.is_answering() for each in connections))
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end)
        connection.sendall(rest + LAST)
        return answers(b"".join(iter(lambda: connection.recv(65536), b"")))[0][0]


def test_the_time_that_a_body_takes_is_the_requests_own(wire):
    assert late(wire, b'{"timeout": 0.1}', 0.2) == 504
    assert late(wire, b'{"timeout": 10}', 0.2) == 200


@pytest.fixture
def idle(tmp_path):
    """Two models that are not in memory yet."""
    generators.folder(tmp_path, {name: Tiny().file() for name in ("one", "two")})
    models = Models(Settings(models=tmp_path, engine="onnxruntime", timeout_seconds=20))
    for model in models.values():
        model.rest()
    with served(models) as site:
        yield site
    if models.batcher:
        models.batcher.close()


def test_so_it_is_for_a_model_that_is_not_in_memory(idle):
    assert late(idle, b'{"timeout": 0.1}', 0.2) == 504
    assert idle.front.models["one"].state == "idle", "nobody has time to wait for it"
    assert late(idle, b'{"timeout": 20}', 0.2) == 200


def test_what_follows_a_request_for_a_model_that_is_not_in_memory_is_answered_after_it(idle):
    asked = [b'{"model": "two", "seed": 1}', b'{"model": "two", "seed": 2}', b'{"model": "one", "seed": 3}']
    replies = idle.ask(b"".join(request(body) for body in asked))
    assert [(status, headers["ganserve-seeds"]) for status, headers, _ in replies] == [
        (200, "1"),
        (200, "2"),
        (200, "3"),
    ]


def test_what_is_being_answered_is_answered_before_the_server_ends(gated):
    one = gated()
    with one.served.connection() as busy, one.served.connection() as idle:
        busy.sendall(request(BODY))
        wait_until(lambda: one.batcher.accepted_images == 2)
        one.served.server.should_exit = True
        assert idle.recv(1) == b""
        one.gate.set()
        ((status, headers, _),) = answers(b"".join(iter(lambda: busy.recv(65536), b"")))
    assert (status, headers["connection"]) == (200, "close")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(gated):
    one = gated(keep_alive_seconds=1)
    with one.served.connection() as idle, one.served.connection() as busy:
        for connection in (idle, busy):
            one.gate.set()
            connection.sendall(request(BODY))
            assert b"200 OK" in connection.recv(65536)
        one.gate.clear()
        busy.sendall(request(BODY))
        assert idle.recv(1) == b""
        one.gate.set()
        assert b"200 OK" in busy.recv(65536)


def test_a_client_that_does_not_read_is_not_served_on_and_on(wire):
    """A response is held only until the client takes it; what follows waits unread."""
    with wire.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        one = request(b'{"seed": 1, "n": 64, "format": "npy"}')
        sent, before = 0, counted(200)
        with contextlib.suppress(BlockingIOError):
            while sent < 200_000_000:
                sent += connection.send(one * 100)
        assert sent < 200_000_000, "the server read on although nothing was taken from it"
        assert counted(200) - before < sent / len(one)
