import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from benchmarks.clients import flood


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives these in turn, an empty one by closing the connection; its port, and the bodies it got."""
    started, stop, bodies, port = threading.Event(), threading.Event(), list[bytes](), 0
    turns = itertools.cycle(answers)

    visits = set[asyncio.Task[None]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visits.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                bodies.append(await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0])))
                said = next(turns)
                if not said:
                    break
                for part in (said[:20], said[20:]):  # it may come in pieces
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def serve() -> None:
        nonlocal port
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            started.set()
            await asyncio.to_thread(stop.wait)
            if visits:  # clients have left; a visit that is cancelled is an error to asyncio
                await asyncio.wait(visits, timeout=20)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield port, bodies
    finally:
        stop.set()
        thread.join()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage"
FULL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


def test_an_open_loop_asks_as_often_as_it_is_told_whatever_is_answered():
    with answering(OK, FULL) as (port, bodies):
        came = flood.offer(port, flood.samples('"n": 2'), rate=200, seconds=0.5, connections=20)
    assert 80 <= len(came.statuses) + came.unsent <= 100
    assert abs(came.count(200) - came.count(429)) <= 1
    assert bodies[:2] == [b'{"seed": 0, "n": 2}', b'{"seed": 1000, "n": 2}']
    assert 0 < came.quantile(200, 0.5) < 1
    assert came.answered_in(200, came.ended - 1, came.ended + 1) == came.count(200)


def test_a_closed_loop_asks_again_on_each_connection():
    with answering(OK) as (port, bodies):
        came = flood.offer(port, flood.samples(""), seconds=0.3, connections=4)
    assert set(came.statuses) == {200}
    assert len(came.statuses) == len(bodies) > 8


def test_a_connection_that_breaks_is_a_lost_request_and_another_is_made():
    with answering(OK, OK, b"") as (port, _):
        came = flood.offer(port, flood.samples(""), rate=100, seconds=0.5, connections=3)
    assert came.count(flood.LOST) == pytest.approx(len(came.statuses) / 3, abs=2)
    assert came.count(200) > 10
