"""What uvicorn's parser would hold without end, on a real socket."""

import contextlib
import json

import pytest
from prometheus_client import REGISTRY

from service.web.connection.limits import MOST_FIELDS, MOST_HEAD_BYTES, MOST_URL_BYTES
from service.web.connection.lingering import MOST_BYTES
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import BODY, request, served

CHUNKED = b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    with (
        loaded(tmp_path_factory.mktemp("models"), {"tiny": Tiny().file()}, engine="fake") as models,
        served(models) as one,
    ):
        yield one


def get(*fields: bytes, url: bytes = b"/livez") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % url, b"host: a", *fields, b"", b""])


def problem(replies) -> tuple[int, str]:
    ((status, headers, body),) = replies
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    return status, json.loads(body)["code"]


def test_what_is_within_the_limits_is_served(wire):
    path = b"/livez?" + b"x" * (MOST_URL_BYTES - 7)
    fields = [b"f%d: %b" % (i, b"y" * 600) for i in range(MOST_FIELDS - 1)]
    assert [status for status, *_ in wire.ask(get(url=path), get(*fields))] == [200, 200]


@pytest.mark.parametrize("start", [get, lambda *fields: request(BODY, *fields)], ids=["asgi", "wire"])
def test_heads_that_are_too_large_are_431_whether_of_one_field_or_of_many(wire, start):
    for fields in (
        [b"x: " + b"y" * MOST_HEAD_BYTES],
        [b"x: " + b"y" * 200_000],
        [b"f%d: %b" % (i, b"y" * 1000) for i in range(70)],
        [b"f%d: 1" % i for i in range(MOST_FIELDS)],
        [b"x" * 200_000 + b": y"],
    ):
        assert problem(wire.ask(start(*fields))) == (431, "head_too_large")


@pytest.mark.parametrize(
    "url", [b"/" + b"x" * MOST_URL_BYTES, b"/livez?" + b"x" * 200_000, b"http://a/" + b"%2e" * 5000]
)
def test_urls_that_are_too_long_are_414(wire, url):
    assert problem(wire.ask(get(url=url))) == (414, "url_too_long")


def endless(wire, start: bytes, piece: bytes, most: int = MOST_BYTES + 16_000_000) -> bytes:
    """Sends the piece again and again until the server has had enough; returns what it says.

    most: what lingering throws away, and what sockets hold.
    """
    piece *= 100
    with wire.connection() as connection:
        connection.sendall(start)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < most:
                connection.sendall(piece)
                sent += len(piece)
            raise AssertionError(f"the server took {most} bytes")
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"x" * 10_000),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\nx: ", b"y" * 10_000),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\nx", b"y" * 10_000),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\n", b"x: y\r\n" * 1000),
        (b"POST /v1/samples HTTP/1.1\r\nhost: a\r\nx: ", b"y" * 10_000),
        (CHUNKED + b"\r\n2;x=", b"y" * 10_000),
        (CHUNKED + b"\r\n2\r\n{}\r\n0\r\n", b"x: y\r\n" * 1000),
        (CHUNKED + b"\r\n2\r\n{}\r\n0\r\nx: ", b"y" * 10_000),
    ],
    ids=["url", "value", "name", "fields", "a sample's", "chunk extension", "trailers", "trailer"],
)
def test_nothing_before_between_or_behind_bodies_may_go_on_for_ever(wire, start, piece):
    said = endless(wire, start, piece)
    assert said.startswith((b"HTTP/1.1 414", b"HTTP/1.1 431", b"HTTP/1.1 400")), said[:200]
    assert [status for status, *_ in wire.ask(get())] == [200]


def test_a_head_that_comes_in_drops_is_as_good_as_any(wire):
    whole = get(*[b"f%d: %b" % (i, b"y" * 500) for i in range(90)])
    pieces = [whole[i : i + 700] for i in range(0, len(whole), 700)]
    assert [status for status, *_ in wire.ask(*pieces)] == [200]


def test_a_long_body_is_not_taken_for_a_long_head(wire):
    body = b" " * 3_000_000 + b"{}"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:2_000_000], body[2_000_000:]))
    replies = wire.ask(request(body), CHUNKED + b"\r\n" + chunks + b"0\r\n\r\n")
    assert [status for status, *_ in replies] == [200, 200]


def test_trailers_do_not_pass_for_headers(wire):
    head = CHUNKED + b"\r\n2\r\n{}\r\n0\r\n"
    replies = wire.ask(head + b"content-type: text/csv\r\nx-request-id: smuggled\r\n\r\n")
    assert [status for status, *_ in replies] == [200]


ASKS = b"connection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nupgrade: %b\r\n"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
def test_what_asks_for_another_protocol_is_answered_in_this_one_body_and_all(wire, protocol):
    plain = request(b'{"seed": 3, "n": 2}')
    asking = plain.replace(b"host: wire\r\n", b"host: wire\r\n" + ASKS % protocol)
    head, body = asking[: -len(b'{"seed": 3, "n": 2}')], b'{"seed": 3, "n": 2}'
    (expected,) = wire.ask(plain)
    for parts in (
        (asking,),
        (head, body),
        (asking[:30], asking[30:-5], asking[-5:]),
        (asking + plain,),
        (plain + asking,),
    ):
        assert wire.ask(*parts) == [expected] * b"".join(parts).count(b"POST")


def test_no_body_behind_an_upgrade_is_taken_for_a_request(wire):
    hidden = get(url=b"/hidden")
    for start in (b"GET /livez", b"POST /v1/samples"):
        head = b"%b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n" % (start, ASKS % b"h2c", len(hidden))
        for parts in ((head, hidden), (head + hidden,)):
            assert [status for status, *_ in wire.ask(*parts)] in ([200], [400])


def test_thousands_of_upgrades_in_a_packet_are_no_more_than_as_many_requests(wire):
    one = b"GET /livez HTTP/1.1\r\nhost: a\r\n" + ASKS % b"h2c" + b"\r\n"
    assert [status for status, *_ in wire.ask(one * 1500)] == [200] * 1500


def test_an_earlier_requests_answer_is_not_mistaken(wire):
    """Whoever sends a bad head behind a good request gets no second answer in the first one's place."""
    for _ in range(5):
        replies = wire.ask(request(BODY) + get(b"x: " + b"y" * 200_000))
        assert [status for status, *_ in replies] in ([200, 431], [200], [])


def test_a_refused_head_is_counted_and_the_next_connection_served(wire):
    def counted() -> float:
        return REGISTRY.get_sample_value("ganserve_requests_total", {"route": "unknown", "code": "431"}) or 0

    before = counted()
    wire.ask(get(b"x: " + b"y" * 200_000))
    assert counted() == before + 1
    assert [status for status, *_ in wire.ask(get(), get())] == [200, 200]
