"""Requests as clients send them that nobody thought of: each is answered once, by what it asks for or why not."""

import json

import pytest

from service.web.connection.limits import MOST_HEAD_BYTES
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import request, served

ASKS = b'{"seed": 3, "format": "json"}'
SAMPLE = b"POST /v1/samples HTTP/1.1"


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    with (
        loaded(tmp_path_factory.mktemp("models"), {"tiny": Tiny().file()}, engine="fake") as models,
        served(models) as one,
    ):
        yield one


def chunked(body: bytes, of_size: bytes = b"", trailers: bytes = b"") -> bytes:
    head = SAMPLE + b"\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(body), of_size, body, trailers)


def get(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET %b" % line, *fields, b"", b""])


TAKEN = {
    "HTTP/1.0": request(ASKS, start=b"POST /v1/samples HTTP/1.0"),
    "HTTP/1.0 that waits for 100": request(ASKS, b"expect: 100-continue", start=b"POST /v1/samples HTTP/1.0"),
    "no host": request(ASKS).replace(b"host: wire\r\n", b""),
    "another server's address": request(ASKS, start=b"POST http://other.example/v1/samples HTTP/1.1"),
    "chunks with extensions": chunked(ASKS, b';name=value;other="quoted"'),
    "a chunk's size with zeros before it": chunked(ASKS).replace(b"\r\n\r\n", b"\r\n\r\n" + b"0" * 60, 1),
    "lines before the request": b"\r\n\r\n" + request(ASKS),
    "blanks behind the JSON": request(ASKS + b" \r\n\t"),
    "a field twice": request(b'{"seed": 1, "seed": 3, "format": "json"}'),
    "integers as floats": request(b'{"seed": 3.0, "n": 1e0, "format": "json"}'),
    "an expectation of something else": request(ASKS, b"expect: 200-ok"),
    "bytes that are no ASCII": request(ASKS, b"x: \xff\xfe"),
}


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN)
def test_what_says_what_it_wants_gets_it(wire, sent):
    ((_, _, whole),) = wire.ask(request(ASKS))
    ((status, _, body),) = wire.ask(sent)
    assert status == 200
    assert json.loads(body)["images"] == json.loads(whole)["images"]


MANY = b"9" * 400
REFUSED = {
    "two hosts": (get(b"/livez HTTP/1.1", b"host: a", b"host: b"), 400),
    "the same host twice": (request(ASKS, b"Host: a"), 400),
    "a host beside a sample that is none": (request(ASKS).replace(b"host: wire", b"host: a b"), 400),
    "a host that is none": (get(b"/livez HTTP/1.1", b"host: a b<>"), 400),
    "a coding before the chunks": (chunked(ASKS).replace(b": chunked", b": gzip, chunked"), 400),
    "a coding of its own": (get(b"/livez HTTP/1.1", b"host: a", b"transfer-encoding: foo"), 400),
    "two equal lengths": (request(ASKS, b"content-length: %d" % len(ASKS)), 400),
    "a folded line": (request(ASKS, b"x: a\r\n b"), 400),
    "NUL in a chunk's extension": (chunked(ASKS, b";\x00"), 400),
    "a line feed in a chunk's extension": (chunked(ASKS, b";a\n"), 400),
    "an extension without end": (chunked(ASKS, b";" + b"a" * 2 * MOST_HEAD_BYTES), 431),
    "a length among the trailers": (chunked(ASKS, trailers=b"content-length: 9\r\n"), 400),
    "tabs in the first line": (get(b"\t/livez\tHTTP/1.1", b"host: a"), 400),
    "an address with a user and no such port": (get(b"http://u:p@a:99999/livez HTTP/1.1", b"host: a"), 400),
    "something behind the JSON": (request(ASKS + b"x"), 400),
    "NUL behind the JSON": (request(ASKS + b"\0"), 400),
    "NaN": (request(b'{"z": [[NaN, 0, 0, 0, 0, 0, 0, 0]]}'), 400),
    "infinity by its digits": (request(b'{"z": [[1e999, 0, 0, 0, 0, 0, 0, 0]]}'), 422),
    "infinity in float32": (request(b'{"z": [[1e308, 0, 0, 0, 0, 0, 0, 0]]}'), 422),
    **{f"400 digits as {name}": (request(b'{"%b": %b}' % (name.encode(), MANY)), 422)
       for name in ("n", "seed", "label", "truncation", "timeout")},
    "400 digits beside 1.0": (request(b'{"n": 1.0, "seed": %b}' % MANY), 422),
    "400 digits and .0": (request(b'{"n": %b.0}' % MANY), 422),
    "a byte order mark": (request(b"\xef\xbb\xbf" + ASKS), 400),
    "UTF-16": (request(ASKS.decode().encode("utf-16")), 400),
    "UTF-32": (request(ASKS.decode().encode("utf-32")), 400),
    "half a surrogate beside 1.0": (request(b'{"n": 1.0, "model": "\\ud800"}'), 400),
    "true for a number": (request(b'{"n": true}'), 422),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_meant_is_refused_once_and_the_next_client_served(wire, sent, status):
    ((said, headers, body),) = wire.ask(sent)
    assert said == json.loads(body)["status"] == status
    assert headers["content-type"] == "application/problem+json"
    assert [said for said, *_ in wire.ask(request(ASKS))] == [200]


@pytest.mark.parametrize("deep", [5000, 30_000])
def test_a_deep_list_beside_1_0_is_refused(wire, deep):
    """As no z, or as no JSON: how deep Python may read differs from one version to the next."""
    ((status, _, _),) = wire.ask(request(b'{"n": 1.0, "z": %b%b}' % (b"[" * deep, b"]" * deep)))
    assert status in (400, 422)
    assert [said for said, *_ in wire.ask(request(ASKS))] == [200]


def test_who_speaks_http_1_0_hears_nothing_before_the_reply(wire):
    head, body = request(ASKS, b"expect: 100-continue", start=b"POST /v1/samples HTTP/1.0").split(b"\r\n\r\n")
    with wire.connection() as connection:
        connection.sendall(head + b"\r\n\r\n" + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
