import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ganserve.bench import Load
from ganserve.server import Server

Answer = Callable[[BaseHTTPRequestHandler, int], None]


def load(url: str, *, timeout: float = 20, **options: Any) -> Load:
    """A load that has run."""
    options = {"fields": {"n": 1, "format": "png"}, "connections": 1, "seconds": 0.3, **options}
    told = []
    with closing(Server(url, None, timeout, 1, None, None)) as server:
        one = Load(server, **options)
        one.run(told.append)
    assert told
    assert told == sorted(told)
    return one


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives the request's number to `answer`; its address, and the bodies that it got."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # it would hold back every answer for 40 ms

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            answer(self, len(bodies))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()


def image(to: BaseHTTPRequestHandler, number: int = 0, connection: str = "", length: int = 3) -> None:
    to.send_response(200)
    to.send_header("ganserve-model", "made")
    to.send_header("content-length", str(length))
    if connection:
        to.send_header("connection", connection)
    to.end_headers()
    to.wfile.write(b"png")


def refuse(to: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    to.send_response(status)
    to.send_header("content-length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)


def test_a_closed_loop_counts_what_the_server_counts(server):
    def counted() -> float:
        return server.metric("ganserve_images_total", model="colour")

    before = counted()
    fields = {"n": 4, "format": "webp", "model": "colour", "label": "Bag"}
    result = load(server.url, connections=4, fields=fields)
    assert result.errors == {}
    assert len(result.latencies) >= 4
    assert result.images == 4 * len(result.latencies) == counted() - before
    levels = list(result.quantiles().values())
    assert levels == sorted(levels)
    assert 0 < levels[0] <= levels[-1] == pytest.approx(max(result.latencies) * 1000)
    assert result.lasted_seconds >= 0.3


def test_an_open_loop_asks_as_often_as_it_was_told(server):
    result = load(server.url, rate=100, seconds=0.5, connections=8)
    facts = result.facts()
    assert (facts["requests"], facts["answered"], facts["errors"]) == (50, 50, {})
    assert facts["requests_per_second"] <= 100


def test_every_request_has_another_seed():
    with answering(image) as (url, bodies):
        load(url, fields={"n": 3, "format": "png"}, seed=10, rate=50, seconds=0.2)
    assert [body["seed"] for body in bodies] == [10 + 3 * k for k in range(10)]
    assert all(body["n"] == 3 for body in bodies)


def test_a_stall_is_seen_by_all_that_were_due_in_it_in_an_open_loop_only():
    def stall(to: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            time.sleep(0.4)
        image(to)

    with answering(stall) as (url, _):
        opened = load(url, rate=100, seconds=0.5).quantiles()
    with answering(stall) as (url, _):
        closed = load(url, seconds=0.5).quantiles()
    assert opened["max"] >= 400
    assert closed["max"] >= 400
    assert opened["p50"] > 100, "forty of fifty were due while the server stood still"
    assert closed["p50"] < 100, "only one was asked then"


def test_refusals_are_counted_by_their_code_and_are_no_latency():
    def some(to: BaseHTTPRequestHandler, number: int) -> None:
        if number % 4 == 1:
            image(to)
        elif number % 4 == 2:
            refuse(to, 429, b'{"code": "queue_full", "detail": "Full."}')
        elif number % 4 == 3:
            refuse(to, 502, b"<h1>no</h1>")
        else:
            refuse(to, 200, b"Welcome")

    with answering(some) as (url, _):
        result = load(url, rate=100, seconds=0.2, fields={"n": 5, "format": "npy"})
    assert len(result.latencies) == 5
    assert result.images == 25
    assert result.errors == {"queue_full": 5, "http_502": 5, "unexpected_answer": 5}


def test_what_is_not_answered_in_time_is_counted_and_the_run_ends():
    gate = threading.Event()

    def never(to: BaseHTTPRequestHandler, number: int) -> None:
        gate.wait(20)

    with answering(never) as (url, _):
        result = load(url, rate=100, seconds=0.2, timeout=0.15)
        gate.set()
    assert result.errors == {"timeout": 20}
    assert result.lasted_seconds < 2
    assert result.quantiles() == {}


def test_a_connection_is_used_again():
    ports, both = set(), threading.Barrier(2)

    def note(to: BaseHTTPRequestHandler, number: int) -> None:
        ports.add(to.client_address[1])
        if number <= 2:  # or one could be so quick that the other has nothing to do
            both.wait(20)
        image(to)

    with answering(note) as (url, bodies):
        load(url, rate=100, seconds=0.1, connections=2)
    assert (len(ports), len(bodies)) == (2, 10)


def test_a_connection_that_the_server_closed_is_made_anew():
    def then_close(to: BaseHTTPRequestHandler, number: int) -> None:
        image(to)
        to.close_connection = True  # without a word of it

    def say_so(to: BaseHTTPRequestHandler, number: int) -> None:
        image(to, connection="close")

    for answer in (then_close, say_so):
        with answering(answer) as (url, _):
            result = load(url, rate=100, seconds=0.1)
        assert (len(result.latencies), result.errors) == (10, {})


def test_chunked_answers_are_read():
    def chunked(to: BaseHTTPRequestHandler, number: int) -> None:
        to.send_response(200)
        to.send_header("ganserve-model", "made")
        to.send_header("transfer-encoding", "chunked")
        to.end_headers()
        to.wfile.write(b"2;x=y\r\npn\r\n1\r\ng\r\n0\r\ntrailer: x\r\n\r\n")

    with answering(chunked) as (url, _):
        result = load(url, rate=100, seconds=0.1)
    assert (len(result.latencies), result.errors) == (10, {})


def test_an_answer_that_is_cut_off_is_no_answer():
    def cut(to: BaseHTTPRequestHandler, number: int) -> None:
        image(to, length=100)
        to.close_connection = True

    with answering(cut) as (url, _):
        result = load(url, rate=100, seconds=0.1)
    assert (result.latencies, result.errors) == ([], {"unreachable": 10})


@pytest.mark.parametrize(
    "bytes_", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", b"x" * 100_000]
)
def test_what_is_no_http_is_an_unexpected_answer(bytes_):
    def babble(to: BaseHTTPRequestHandler, number: int) -> None:
        to.wfile.write(bytes_)
        to.close_connection = True

    with answering(babble) as (url, _):
        result = load(url, rate=50, seconds=0.1)
    assert result.errors == {"unexpected_answer": 5}


def test_a_server_that_is_not_there_is_not_asked_without_pause():
    with answering(image) as (url, _):
        pass
    result = load(url, seconds=0.25, connections=2)
    assert result.latencies == []
    assert 2 <= result.errors["unreachable"] <= 8


def test_percentiles_are_latencies_that_there_were():
    latencies = [k / 1000 for k in range(1, 2001)]
    result = Load(Server(None, None, 1, 1, None, None), {"n": 1}, 1, 1, latencies=latencies)
    assert result.quantiles() == pytest.approx(
        {"p50": 1000, "p90": 1800, "p99": 1980, "p99.9": 1998, "max": 2000}
    )
