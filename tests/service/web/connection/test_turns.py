"""What one connection may have of the event loop, on a real socket."""

import json
import socket
import threading
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from service.web.connection.turns import MOST_HELD_BYTES, Turns
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.connection.wired import BODY, LAST, Served, request, served
from tests.waiting import wait_until

MOST_READ_BYTES = 2**18  # at once, by asyncio; by uvloop a little less
CHUNKED = b"POST /v1/samples HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def one(tmp_path_factory, request):
    files = {"tiny": Tiny(image=(3, 32, 32), golden_samples=0).file()}
    with (
        loaded(tmp_path_factory.mktemp("models"), files, engine="fake") as models,
        served(models, loop=request.param) as started,
    ):
        yield started


class Loop:
    """An event loop that turns when it is told to."""

    def __init__(self) -> None:
        self.soon = []

    def call_soon(self, callback) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


def test_one_goes_on_in_each_turn_and_who_has_more_to_do_is_last_again():
    loop, went = Loop(), []
    turns = Turns(loop)

    def go_on(name: str, times: int) -> None:
        went.append(name)
        if times > 1:
            turns.wait(lambda: go_on(name, times - 1))

    for name, times in (("a", 3), ("b", 1), ("c", 2)):
        turns.wait(lambda name=name, times=times: go_on(name, times))
    for i in range(6):
        assert len(went) == i
        loop.turn()
    assert went == ["a", "b", "c", "a", "c", "a"]
    assert (len(turns), loop.soon) == (0, [])


def test_one_that_fails_does_not_keep_the_others_waiting():
    loop, went = Loop(), []
    turns = Turns(loop)

    def fail() -> None:
        raise RuntimeError

    turns.wait(fail)
    turns.wait(lambda: went.append("b"))
    with pytest.raises(RuntimeError):
        loop.turn()
    loop.turn()
    assert went == ["b"]


def refusals() -> float:
    labels = {"route": "/v1/samples", "code": "422"}
    return REGISTRY.get_sample_value("ganserve_requests_total", labels) or 0


def test_requests_that_were_sent_ahead_wait_for_those_of_others(one: Served):
    count = 20_000  # more than are answered while this thread waits for the interpreter
    many = request(b'{"n": 0}') * count
    before = refusals()
    with one.connection() as greedy, one.connection() as other:
        sending = threading.Thread(target=greedy.sendall, args=(many + LAST,))
        sending.start()
        wait_until(lambda: refusals() > before)
        other.sendall(LAST)
        assert other.recv(100).startswith(b"HTTP/1.1 200")
        assert refusals() < before + count, "it was answered while the others waited"
        while greedy.recv(2**20):
            pass
        sending.join()
    assert refusals() == before + count


ONE_OF_EACH = {
    "wire": request(BODY),
    "chunks": CHUNKED + b"3\r\n \r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"2\r\n{}\r\n0\r\nx: y\r\n\r\n",
    "get": b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    "another": request(b'{"n": 0}\r\n\r\n', start=b"POST /v1/samples? HTTP/1.1"),
}


def test_requests_of_all_kinds_behind_each_other_are_answered_in_order_however_they_are_cut(one: Served):
    whole = b"".join(ONE_OF_EACH.values())
    expected = [200, 200, 200, 200, 422]
    assert [status for status, *_ in one.ask(whole)] == expected
    for cut in range(1, len(whole), 11):
        assert [status for status, *_ in one.ask(whole[:cut], whole[cut:])] == expected, whole[:cut]
    assert [status for status, *_ in one.ask(whole * 20)] == expected * 20


@pytest.mark.parametrize(
    "start", [CHUNKED, b"POST /none HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"]
)
@pytest.mark.parametrize("size", [1, 7, 5000, 200_000])
def test_bodies_come_whole_through_pieces(one: Served, start, size):
    body = json.dumps({"seed": 3}).encode() + b" " * (500_000 if size > 100 else 5000)
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    replies = one.ask(start + chunks + b"0\r\n\r\n", request(BODY))
    assert [status for status, *_ in replies] == [200 if start is CHUNKED else 404, 200]


@pytest.mark.parametrize(
    "sent",
    [request(b'{"n": 256, "format": "npy"}') * 2000, b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 5000],
    ids=["wire", "asgi"],
)
def test_what_a_connection_is_owed_is_one_reply_and_what_it_sent_ahead_two_reads(one: Served, sent):
    (reply,) = one.ask(sent[: sent.index(b"POST", 1) if sent.startswith(b"POST") else sent.index(b"GET", 1)])
    with one.connection() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                greedy.send(sent)
        wires: set = one.server.server_state.connections
        wait_until(lambda: any(wire.flow.write_paused for wire in list(wires)))
        for _ in range(50):
            with suppress(BlockingIOError):
                greedy.send(sent)
            (wire,) = [wire for wire in list(wires) if wire.flow.write_paused]
            owed = wire.transport.get_write_buffer_size()
            assert owed < 65536 + len(reply[2]) + 1000
            assert len(wire.arrived) <= MOST_HELD_BYTES + MOST_READ_BYTES
