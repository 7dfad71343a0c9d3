"""Refusals that are sent before their request has been read to its end, on a real socket."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from service.keys import keyring
from service.settings import Settings
from service.web.connection import lingering
from service.web.connection.wire import Wire
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import BODY, LAST, Served, answers, by_asgi, request, served
from tests.waiting import wait_until

KEY = "lingering-0123456789abcdef"
KEYED = b"authorization: Bearer " + KEY.encode()
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    files, settings = {"tiny": Tiny().file()}, {"engine": "fake", "timeout_seconds": 1.0}
    with loaded(tmp_path_factory.mktemp("models"), files, **settings) as some:
        yield some


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def one(models, request):
    """Those with a key are served, and bodies may have 4 MiB."""
    keys = keyring(Settings(api_keys=f"lingering:{KEY}"))
    with served(models, keys, loop=request.param, timeout_keep_alive=1) as started:
        yield started


def head(start: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([start + b" HTTP/1.1", b"host: a", *fields, b"", b""])


def length(bytes: int) -> bytes:
    return b"content-length: %d" % bytes


def chunks(bytes: int) -> bytes:
    return b"10000\r\n%b\r\n" % (b" " * 65536) * (bytes // 65536) + b"0\r\n\r\n"


def all_sent_first(one: Served, *parts: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """What a client hears that reads nothing before it has sent everything, as Python's http.client does."""
    with one.connection() as connection:
        for part in parts:
            connection.sendall(part)
        return answers(b"".join(iter(lambda: connection.recv(65536), b"")))


POST = b"POST /v1/samples"
CHUNKED = b"transfer-encoding: chunked"
REFUSED = {
    "too long": (413, [head(POST, KEYED, length(20 * MEGABYTE)), b" " * 20 * MEGABYTE]),
    "too long, in chunks": (413, [head(POST, KEYED, CHUNKED), chunks(20 * MEGABYTE)]),
    "too long, elsewhere": (413, [head(b"POST /v1/arithmetic", KEYED, length(5 * MEGABYTE)), b" " * 5 * MEGABYTE]),
    "no key": (401, [head(POST, length(20 * MEGABYTE), b"connection: close"), b" " * 20 * MEGABYTE]),
    "no key, in chunks": (401, [head(POST, CHUNKED, b"connection: close"), chunks(20 * MEGABYTE)]),
    "no scope": (403, [head(b"POST /v1/admin/reload", KEYED, length(20 * MEGABYTE), b"connection: close"), b" " * 20 * MEGABYTE]),
    "no such route": (404, [head(b"POST /nowhere", KEYED, length(20 * MEGABYTE), b"connection: close"), b" " * 20 * MEGABYTE]),
    "no such method": (405, [head(b"PUT /v1/samples", KEYED, length(20 * MEGABYTE), b"connection: close"), b" " * 20 * MEGABYTE]),
    "another type": (415, [head(POST, KEYED, b"content-type: text/csv", length(20 * MEGABYTE), b"connection: close"), b" " * 20 * MEGABYTE]),
    "malformed": (400, [b"BREW / HTTP/1.1\r\n\r\n" + b" " * 20 * MEGABYTE]),
    "a malformed chunk": (400, [head(POST, KEYED, CHUNKED), b"nonsense\r\n" * 2 * MEGABYTE]),
    "a long URL": (414, [b"GET /" + b"x" * 20 * MEGABYTE]),
    "a long head": (431, [b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 2 * MEGABYTE]),
    "a sample's long head": (431, [head(POST, KEYED)[:-2] + b"x: " + b"y" * 20 * MEGABYTE]),
    "long trailers": (431, [head(POST, KEYED, CHUNKED) + b"0\r\n", b"x: y\r\n" * 2 * MEGABYTE]),
}  # fmt: skip


@pytest.mark.parametrize(("status", "parts"), REFUSED.values(), ids=REFUSED)
def test_who_is_refused_hears_why_even_if_it_sends_all_first(one, status, parts):
    for _ in range(3):
        ((answered, headers, _),) = all_sent_first(one, *parts)
        assert (answered, headers["connection"]) == (status, "close")


def test_a_body_that_comes_too_late_is_told_so_while_it_still_comes(one):
    with one.connection() as connection:
        connection.sendall(request(BODY, KEYED)[:-3])
        wait_until(lambda: connection.recv(100, socket.MSG_PEEK).startswith(b"HTTP/1.1 408"))
        connection.sendall(b" " * 20 * MEGABYTE)
        ((status, headers, _),) = answers(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert (status, headers["connection"]) == (408, "close")


def test_a_refusal_that_keeps_the_connection_is_heard_too_and_the_next_request_answered(one):
    refused = head(POST, length(20 * MEGABYTE)) + b" " * 20 * MEGABYTE
    replies = all_sent_first(one, refused, request(BODY, KEYED), refused, request(BODY, KEYED), LAST)
    assert [status for status, *_ in replies] == [401, 200, 401, 200, 200]


def said_to_who_waits(one: Served, *fields: bytes, start: bytes = POST) -> bytes:
    """What a client hears that sends its head and waits for `100 Continue`."""
    with one.connection() as connection:
        connection.sendall(head(start, *fields, b"expect: 100-continue"))
        said = connection.recv(65536)
        if not said.startswith(b"HTTP/1.1 100"):
            said += b"".join(iter(lambda: connection.recv(65536), b""))
        return said


@pytest.mark.parametrize(
    ("status", "start", "fields"),
    [
        (b"413", POST, [KEYED, length(5 * MEGABYTE)]),
        (b"401", POST, [length(200)]),
        (b"404", b"POST /nowhere", [KEYED, length(200)]),
        (b"405", b"PUT /v1/samples", [KEYED, length(200)]),
        (b"415", POST, [KEYED, length(200), b"content-type: text/csv"]),
        (b"401", POST, [CHUNKED]),
    ],
)
def test_only_what_will_be_taken_is_told_to_continue(one, status, start, fields):
    said = said_to_who_waits(one, *fields, start=start)
    assert said.startswith(b"HTTP/1.1 %b " % status)
    # What would come next might be the body or another request.
    assert b"connection: close" in said


def test_what_will_be_taken_is_told_to_continue_and_the_connection_lives(one):
    asks = head(POST, KEYED, length(len(BODY)), b"expect: 100-continue")
    with one.connection() as connection:
        for _ in range(2):
            connection.sendall(asks)
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(BODY)
            said = b""
            while not said.endswith(b"IEND\xaeB`\x82"):
                said += connection.recv(65536)
            assert said.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in said


@contextmanager
def lingering_connection(one: Served, *fields: bytes) -> Iterator[socket.socket]:
    """Refused, and listened to no longer; its client has heard so."""
    with one.connection() as connection:
        connection.sendall(head(POST, *fields, length(10**10)) + b" ")
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")
        yield connection


def is_cut_off(connection: socket.socket) -> bool:
    """Whether it is reset under what is being sent, and not for as long as the test has patience."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(b" ")
        return False
    return True


KEPT = pytest.mark.parametrize("fields", [[b"connection: close"], []], ids=["closing", "kept"])


@KEPT
def test_who_never_stops_is_cut_off_at_so_many_bytes(one, monkeypatch, fields):
    monkeypatch.setattr(lingering, "MOST_BYTES", 5 * MEGABYTE)
    sent = 0
    with lingering_connection(one, *fields) as connection, contextlib.suppress(OSError):
        while sent < 50 * MEGABYTE:
            sent += connection.send(b" " * 65536)
    assert 5 * MEGABYTE < sent < 20 * MEGABYTE, "what is over is what the sockets hold"


@KEPT
def test_who_never_stops_is_cut_off_after_so_long(one, monkeypatch, fields):
    monkeypatch.setattr(lingering, "MOST_SECONDS", 0.5)
    begun = time.monotonic()
    with lingering_connection(one, *fields) as connection:
        wait_until(lambda: is_cut_off(connection))
    assert 0.3 < time.monotonic() - begun < 5


@KEPT
def test_who_falls_silent_is_cut_off_sooner(one, monkeypatch, fields):
    monkeypatch.setattr(lingering, "SILENT_SECONDS", 0.5)
    with lingering_connection(one, *fields) as connection:
        connection.sendall(b" ")
        wait_until(lambda: not one.server.server_state.connections, seconds=5)


def test_who_has_heard_and_leaves_is_let_go_at_once(one):
    with lingering_connection(one, b"connection: close") as connection:
        assert one.server.server_state.connections
        connection.close()
        wait_until(lambda: not one.server.server_state.connections, seconds=2)


def test_a_server_that_stops_does_not_wait_for_who_is_refused(models):
    with (
        served(models, keyring(Settings(api_keys=f"lingering:{KEY}"))) as one,
        lingering_connection(one, b"connection: close"),
        lingering_connection(one),
    ):
        begun = time.monotonic()
        one.stop()
        assert time.monotonic() - begun < 2


@KEPT
def test_what_nobody_reads_is_not_kept(one, fields):
    with lingering_connection(one, *fields) as connection:
        connection.sendall(b" " * 30 * MEGABYTE)
        (wire,) = cast(set[Wire], one.server.server_state.connections)
        assert wire.throws_away()
        assert len(wire.arrived) + len(wire.cycle.body) < 300_000


def test_a_body_over_the_limit_never_reaches_the_wire(one):
    with by_asgi(one) as seen:
        ((status, _, body),) = all_sent_first(
            one, head(POST, KEYED, length(5 * MEGABYTE)), b" " * 5 * MEGABYTE
        )
    assert (status, json.loads(body)["code"], seen) == (413, "body_too_large", ["/v1/samples"])


@pytest.mark.parametrize(
    "asked",
    [request(BODY, KEYED, b"connection: close"), head(b"GET /livez", b"connection: close")],
    ids=["images", "livez"],
)
def test_head_and_body_leave_together(one, asked):
    """A replica that is killed between the two would leave a balancer with a head, after which it can't ask another."""
    for _ in range(50):
        with one.connection() as connection:
            connection.sendall(asked)
            got = connection.recv(65536)
            (_, headers, body) = answers(got)[0]
            assert len(body) == int(headers["content-length"])
