"""Clients that keep a connection and do nothing with it."""

import socket
import threading
from contextlib import ExitStack, suppress

import pytest

from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import BODY, LAST, Served, request, served
from tests.waiting import wait_until

HEAD, _, _ = request(BODY).partition(b"\r\n\r\n")
GET = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
CLIENT_SECONDS = 0.3


@pytest.fixture(scope="module")
def gate():
    return threading.Event()


@pytest.fixture(scope="module")
def one(tmp_path_factory, gate):
    """A server that gives its clients 0.3 s, with a fake model that waits at a gate."""
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate)
    files, settings = {"tiny": tiny.file()}, {"engine": "fake", "client_seconds": CLIENT_SECONDS}
    with (
        loaded(tmp_path_factory.mktemp("models"), files, on=engine, **settings) as models,
        served(models, timeout_keep_alive=1) as started,
    ):
        # Else the kernel takes megabytes for who reads nothing, and on a slow machine they are long in the making.
        started.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        yield started
        gate.set()


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes it without a word."""
    return connection.recv(1) == b""


def test_a_connection_on_which_nothing_comes_is_closed(one: Served):
    with one.connection() as silent:
        assert is_closed(silent)


def answered(connection: socket.socket, asked: bytes) -> socket.socket:
    if asked:
        connection.sendall(asked)
        assert b"200 OK" in connection.recv(65536)
    return connection


@pytest.mark.parametrize("begin", [b"P", HEAD, b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", GET, request(BODY)])
def test_a_head_that_does_not_end_is_cut_off_however_it_trickles(one: Served, begin, before):
    with ExitStack() as stack:
        # One after the other: each has its time from its beginning on.
        slow, _ = (answered(stack.enter_context(one.connection()), before) for _ in range(2))
        with suppress(BrokenPipeError, ConnectionResetError):
            slow.settimeout(0.02)
            slow.sendall(begin)
            for _ in range(1000):
                with suppress(TimeoutError):
                    while slow.recv(65536):  # what is left of the answer before
                        pass
                    return
                slow.sendall(b"x: y\r\n"[: 2 if begin == b"\r\n" else 6])
            raise AssertionError("the server waited on and on")


def test_who_waits_for_an_answer_or_sends_a_body_is_not_cut_off(one: Served, gate):
    gate.clear()
    with one.connection() as waits, one.connection() as sends, one.connection() as silent:
        waits.sendall(request(BODY))
        sends.sendall(request(BODY)[:-3])
        assert is_closed(silent), "by now the others have waited for as long"
        sends.sendall(request(BODY)[-3:])
        gate.set()
        for connection in (waits, sends):
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [GET * 1000, request(b'{"n": 256, "format": "npy"}') * 500])
def test_answers_that_nobody_takes_are_not_kept(one: Served, sent):
    connections = one.server.server_state.connections
    wait_until(lambda: not connections)
    with one.connection() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        with suppress(BlockingIOError):
            greedy.sendall(sent)
        wait_until(lambda: len(connections) == 1)
        wait_until(lambda: not connections)
    assert one.post(BODY).status_code == 200


def test_a_slow_reader_gets_all_as_long_as_it_takes_something(one: Served):
    with one.connection() as slow, one.connection() as silent:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
        slow.sendall(GET * 100 + LAST)
        silent.settimeout(0.01)
        taken = b""
        while True:  # for as long as the other one is waited for
            taken += slow.recv(2**16)
            with suppress(TimeoutError):
                if is_closed(silent):
                    break
        assert taken.count(b"HTTP/1.1 200") < 100
        while chunk := slow.recv(2**20):
            taken += chunk
    assert taken.count(b"HTTP/1.1 200") == 101
