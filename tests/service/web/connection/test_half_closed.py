"""Clients that shut down their sending side and wait for what they asked, on a real socket."""

import contextlib
import socket
import threading

import pytest

from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import BODY, Served, answers, request, served
from tests.waiting import wait_until

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = (
    b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (
        len(BODY),
        BODY,
    )
)
OLD = request(BODY, start=b"POST /v1/samples HTTP/1.0")
GET = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def gated(tmp_path_factory, request):
    """A server whose passes wait at a gate, the gate, and the server's batcher."""
    gate = threading.Event()
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate)
    with (
        loaded(tmp_path_factory.mktemp("models"), {"tiny": tiny.file()}, on=engine, engine="fake") as models,
        served(models, loop=request.param, timeout_keep_alive=1) as one,
    ):
        yield one, gate, models.batcher
        gate.set()


@contextlib.contextmanager
def half_closed(one: Served, sent: bytes):
    with one.connection() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("sent", [request(BODY), CHUNKED, OLD, GET], ids=["wire", "asgi", "HTTP/1.0", "get"])
def test_who_has_sent_all_gets_its_answer_and_then_an_end(gated, sent):
    one, _, _ = gated
    with half_closed(one, sent) as connection:
        ((status, *_),) = answers(said(connection).replace(CONTINUE, b""))
    assert status == 200


def test_all_that_was_asked_is_answered(gated):
    one, _, _ = gated
    with half_closed(one, (request(BODY) + CHUNKED + GET) * 30 + request(b'{"n": 0}')) as connection:
        replies = answers(said(connection).replace(CONTINUE, b""))
    assert [status for status, *_ in replies] == [200] * 90 + [422]


@pytest.mark.parametrize("sent", [request(BODY), CHUNKED], ids=["wire", "asgi"])
@pytest.mark.parametrize("before", [b"", GET])
def test_who_waits_for_long_is_asked_now_and_then_and_gets_its_answer(gated, sent, before):
    one, gate, batcher = gated
    gate.clear()
    with half_closed(one, before + sent) as connection:
        heard = b""
        while heard.count(CONTINUE) < 3:
            heard += connection.recv(65536)
        assert batcher.accepted_images == 2
        gate.set()
        replies = answers((heard + said(connection)).replace(CONTINUE, b""))
    assert [status for status, *_ in replies] == [200] * (1 + bool(before))


def test_who_knows_no_interim_answer_gets_none(gated):
    one, gate, batcher = gated
    gate.clear()
    with half_closed(one, OLD) as old, half_closed(one, request(BODY)) as new:
        wait_until(lambda: batcher.accepted_images == 4)
        while new.recv(65536, socket.MSG_PEEK).count(CONTINUE) < 2:
            pass
        gate.set()
        assert said(old).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [request(BODY), CHUNKED], ids=["wire", "asgi"])
def test_who_has_left_is_dropped_all_the_same(gated, sent):
    one, gate, batcher = gated
    gate.clear()
    with one.connection() as first:
        first.sendall(request(BODY))
        wait_until(lambda: batcher.accepted_images == 2)
        with half_closed(one, sent):
            wait_until(lambda: batcher.accepted_images == 4)
        wait_until(lambda: batcher.accepted_images == 2, seconds=5)
        gate.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "half", [b"", b"GET", GET[:-2], request(BODY)[:30], request(BODY)[:-1], CHUNKED[:-5]]
)
@pytest.mark.parametrize("before", [b"", GET])
def test_half_a_request_is_nobodys(gated, before, half):
    one, _, _ = gated
    with half_closed(one, before + half) as connection:
        connection.settimeout(2)
        assert [status for status, *_ in answers(said(connection))] == [200] * bool(before)
