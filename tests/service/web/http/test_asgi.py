import asyncio
from typing import Any

import pytest

from service.errors import BodyTimeout, BodyTooLarge
from service.web.http.asgi import ClientGone, Message, Reply, read_body, send_reply, unless_client_goes

GONE = {"type": "http.disconnect"}


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read(*messages: Message, length: int | str | None = None, max_bytes: int = 10) -> bytes:
    """read_body of a client that sends these messages, and then nothing."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else await asyncio.get_running_loop().create_future()

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return asyncio.run(read_body({"headers": headers}, receive, max_bytes, timeout_seconds=0.02))


def test_a_body_arrives_in_one_part_or_in_many():
    assert read(part(b"0123456789")) == b"0123456789"
    assert read(part(b"01", more=True), part(b"", more=True), part(b"23", more=True), part(b"")) == b"0123"
    assert read({"type": "http.request"}) == b""


@pytest.mark.parametrize("length", [11, 10**30])
def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_read(length):
    with pytest.raises(BodyTooLarge, match="allowed are 10"):
        read(length=length)


@pytest.mark.parametrize("length", [None, 3, "-1", "many", ""])
def test_a_body_over_the_limit_is_refused_whatever_length_it_declared(length):
    with pytest.raises(BodyTooLarge):
        read(part(b"01234567890"), length=length)
    with pytest.raises(BodyTooLarge):
        read(*[part(b"012345", more=True)] * 2, length=length)


def test_an_endless_body_is_refused_at_the_limit():
    with pytest.raises(BodyTooLarge):
        read(*[part(b"x", more=True)] * 11)


def test_a_body_that_does_not_arrive_in_time_is_refused():
    with pytest.raises(BodyTimeout):
        read()
    with pytest.raises(BodyTimeout):
        read(part(b"0", more=True))


def test_a_client_that_leaves_while_it_sends_is_gone():
    with pytest.raises(ClientGone):
        read(GONE)
    with pytest.raises(ClientGone):
        read(part(b"0", more=True), GONE)


def test_a_reply_is_sent_whole_with_its_length():
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(send_reply(send, Reply(200, "text/plain", b"body", {"etag": '"1"'}), "7"))
    start, body = sent
    assert (start["status"], body["body"]) == (200, b"body")
    assert dict(start["headers"]) == {
        b"content-type": b"text/plain",
        b"content-length": b"4",
        b"etag": b'"1"',
        b"x-request-id": b"7",
    }


def test_a_reply_that_says_not_modified_declares_no_length():
    # RFC 9110, 8.6: it would have to be the length of the image, which was not made.
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(send_reply(send, Reply(304, "image/png", b"", {"etag": '"1"'}), "7"))
    assert b"content-length" not in dict(sent[0]["headers"])


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_work_is_cancelled_when_its_client_goes():
    async def play() -> None:
        left, cancelled = asyncio.Event(), []

        async def receive() -> Message:
            await left.wait()
            return GONE

        async def work() -> None:
            left.set()
            try:
                await forever()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        with pytest.raises(ClientGone):
            await unless_client_goes(receive, work())
        assert cancelled == [True]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "the task lives on, with no cancellation left over"

    asyncio.run(play())


def test_work_that_ends_in_time_gives_its_result_and_leaves_no_task():
    async def play() -> None:
        async def receive() -> Message:
            return await asyncio.get_running_loop().create_future()

        async def work() -> int:
            await asyncio.sleep(0.05)  # long enough for the watcher to start
            return 7

        assert await unless_client_goes(receive, work()) == 7
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())


def test_a_cancellation_from_elsewhere_is_no_client_that_left():
    async def play() -> None:
        async def receive() -> Message:
            return await asyncio.get_running_loop().create_future()

        task = asyncio.ensure_future(unless_client_goes(receive, forever()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


def test_an_error_of_the_work_comes_through():
    async def play() -> None:
        async def receive() -> Message:
            return GONE

        async def work() -> None:
            raise ValueError("as it was")

        with pytest.raises(ValueError, match="as it was"):
            await unless_client_goes(receive, work())

    asyncio.run(play())
