"""POST /v1/samples on a real socket, by web.wire; and what is not plainly that, by uvicorn on the same connection."""

import pytest

from service.registry.models import Models
from service.settings import Settings
from service.web.connection.wire import head_here
from tests.service.web.connection.wired import BODY, by_asgi, request, served
from tests.service.web.site import refused

BODIES = [
    b"",
    b"{}",
    BODY,
    b'{"seed": 9007199254740991, "label": "Sneaker"}',
    b'{"seed": 1, "n": 64, "format": "npy"}',
    b'{"seed": 1, "n": 3, "format": "json", "include_z": true, "truncation": 0.5}',
    b'{"seed": 1, "label": [1, 2, 3], "format": "webp"}',
    b'{"model": "bare", "seed": 1}',
    b'{"model": "nobody"}',
    b'{"n": 65}',
    b'{"n": 0}',
    b'{"label": "shoe"}',
    b'{"nope": 1}',
    b'{"n": ',
    b"[1]",
    b"\xff\xfe",
    b"[" * 4000,
    b'{"z": [[1]]}',
    b'{"timeout": 1e-9}',
]


@pytest.mark.parametrize("body", BODIES)
def test_the_wire_answers_as_asgi_does(wire, body):
    body = body.replace(b"{}", b'{"seed": 4}') or b'{"seed": 5}'
    with by_asgi(wire) as seen:
        ((status, headers, content),) = wire.ask(request(body))
        assert seen == []
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        lines = [b"POST /v1/samples HTTP/1.1", b"host: wire", b"transfer-encoding: chunked", b"", chunked]
        (other,) = wire.ask(b"\r\n".join(lines))
        assert seen == ["/v1/samples"]
    assert (status, headers, content) == other
    assert headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    "odd",
    [
        request(BODY, b"connection: close"),
        request(BODY, b"Connection: Keep-Alive, close"),
        request(BODY, b"expect: nothing"),
        request(BODY, b"upgrade: h2c"),
        request(BODY, b"content-length: %d" % len(BODY)),
        request(BODY, b"content-type: application/json", start=b"POST /v1/samples? HTTP/1.1"),
        request(BODY, start=b"POST /v1/samples HTTP/1.0"),
        request(BODY, b"content-type: text/csv"),
        request(BODY, b"x: " + b"y" * 9000),
        request(BODY, b"content-encoding: gzip"),
        request(b" " * 5000),
        request(BODY, start=b"PUT /v1/samples HTTP/1.1"),
        b"POST /v1/samples HTTP/1.1\r\nhost: wire\r\n\r\n",
    ],
)
def test_what_is_not_plainly_a_sample_is_left_to_uvicorn(wire, odd):
    with by_asgi(wire) as seen:
        replies = wire.ask(odd)
    # Its parser refuses some, and closes; what it said may be lost with the connection.
    refused_by_its_parser = [status for status, *_ in replies] in ([400], [])
    assert seen == ["/v1/samples"] or refused_by_its_parser


@pytest.mark.parametrize(
    "smuggled",
    [
        request(BODY, b"transfer-encoding: chunked"),
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 30\r\n\r\n{}GET /livez HTTP/1.1",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length : 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\r\n content-length: 2\r\n\r\n{}",
        b"POST /v1/samples HTTP/1.1\r\nhost: a\x00\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_not_read_here(smuggled):
    assert head_here(smuggled) is None


def test_pages_of_other_origins_get_their_headers_here_too(wire, tmp_path):
    models = Models(Settings(models=tmp_path, cors_origins="https://shop.example.com"))
    models._models, models.batcher = wire.front.models._models, wire.front.models.batcher
    with served(models) as one:
        ours, theirs, none = one.ask(
            request(BODY, b"origin: https://shop.example.com"),
            request(BODY, b"origin: https://evil.example.com"),
            request(BODY),
        )
    assert [status for status, *_ in (ours, theirs, none)] == [200] * 3
    assert ours[1]["access-control-allow-origin"] == "https://shop.example.com"
    assert "access-control-allow-origin" not in theirs[1] | none[1]


def test_a_request_may_arrive_in_any_pieces(wire):
    whole = request(b'{"seed": 3, "n": 2, "format": "npy"}', b"content-type: application/json; charset=utf-8")
    (expected,) = wire.ask(whole)
    for cut in range(1, len(whole), 7):
        assert wire.ask(whole[:cut], whole[cut:]) == [expected]


def test_pipelined_requests_are_answered_in_their_order(wire):
    many = [request(b'{"seed": %d}' % seed) for seed in range(20)]
    many.insert(7, b"GET /livez HTTP/1.1\r\nhost: wire\r\n\r\n")
    many.insert(3, request(b'{"n": 0}'))
    replies = wire.ask(b"".join(many))
    assert [status for status, *_ in replies] == [200] * 3 + [422] + [200] * 18
    assert [headers.get("ganserve-seeds") for _, headers, _ in replies[:9]] == [
        *("0", "1", "2", None, "3", "4", "5", "6", None),
    ]
    assert replies[-1][1]["ganserve-seeds"] == "19"


def test_routes_take_turns_on_one_connection(wire):
    with by_asgi(wire) as seen, wire.connection() as connection:
        reader = connection.makefile("rb")
        for seed in range(3):
            for path, sent in (
                ("samples", request(b'{"seed": %d}' % seed)),
                ("livez", b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"),
            ):
                connection.sendall(sent)
                assert reader.readline() == b"HTTP/1.1 200 OK\r\n", path
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.startswith(b"content-length"):
                        length = int(line.split()[1])
                reader.read(length)
        assert seen == ["/livez"] * 3


def test_an_unexpected_error_is_500_with_a_number_and_the_connection_lives(gated, monkeypatch, caplog):
    one = gated()
    one.gate.set()

    def broken(pixels):
        raise ValueError("no such format")

    monkeypatch.setattr("service.generator.images.png", broken)
    response = one.served.post(b'{"seed": 1}')
    detail = refused(response, 500, "internal_error")
    number = detail.split()[-1].rstrip(".")
    assert f"failure {number}" in caplog.text
    monkeypatch.undo()
    assert one.served.post(b'{"seed": 1}').status_code == 200
