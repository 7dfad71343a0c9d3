"""The few pieces of ASGI that the routes share: read a capped body, send a reply, notice a client that left."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct

from service.drawing.draw import Draw
from service.errors import BodyTimeout, BodyTooLarge
from service.keys import Charge
from service.registry.models import Models
from service.registry.rollout import Rollout

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

CLIENT_GONE = 499  # nginx's code for it; nothing is sent
BEGUN = "ganserve.begun"
"""In the scope of a request that was not read here first: Call.begun."""
NO_BODY = "The whole body did not arrive within {} seconds."

# A task that listens for the client costs a fifth of a request's way through this process: only one that
# waits so long is worth it. An abandoned request that would be answered sooner is computed.
_WATCH_AFTER_SECONDS = 0.25


class Reply(Struct):
    """One HTTP reply, whole; content-length is added when it is sent."""

    status: int
    media_type: str
    body: bytes = b""
    headers: dict[str, str] = {}


class Streamed(Struct):
    """A reply whose body is sent as it is made; its head before that, so that nothing can be refused any more.

    endless: it goes on until the client has seen enough.
    """

    media_type: str
    parts: AsyncGenerator[bytes, None]
    headers: dict[str, str] = {}
    status: int = 200
    endless: bool = False


@dataclass(slots=True)
class Call:
    """One HTTP request on its way to a route's function."""

    scope: Scope
    receive: Receive
    models: Models
    draining: bool
    rollout: Rollout
    drain: Callable[[], None]
    begun: float
    """When its head came, in time.monotonic() seconds: what it may take, it may take from then on."""
    charge: Charge | None = None
    """Of the API key, where keys are configured."""
    is_draining: Callable[[], bool] = bool
    """As `draining`, but now."""
    draw: Draw | None = None
    """What it asks for, once that is understood."""

    def take(self, images: int) -> None:
        """Count the request and so many images against the key's quotas. Raises QuotaExceeded."""
        if self.charge is not None:
            self.charge.take(images, time.monotonic())


class ClientGone(Exception):
    """The client closed the connection: there is nobody to answer."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


async def read_body(scope: Scope, receive: Receive, max_bytes: int, timeout_seconds: float) -> bytes:
    """The request's body. Raises BodyTooLarge as soon as it is known, BodyTimeout, ClientGone."""
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise BodyTooLarge(f"The body has {length} bytes; allowed are {max_bytes}.")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > max_bytes:
                    raise BodyTooLarge(f"The body has more than the {max_bytes} bytes that are allowed.")
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError:
        raise BodyTimeout(NO_BODY.format(timeout_seconds)) from None


async def send_reply(send: Send, reply: Reply, request_id: str) -> None:
    """Send `reply` whole."""
    length = []
    if reply.status != 304:  # there it would be the length of the image, which was not made (RFC 9110, 8.6)
        length = [(b"content-length", b"%d" % len(reply.body))]
    await send(_head(reply, length, request_id))
    await send({"type": "http.response.body", "body": reply.body})


async def send_streamed(send: Send, receive: Receive, reply: Streamed, request_id: str) -> None:
    """Send `reply` as fast as the client takes it: uvicorn's `send` waits while too much of it is not taken.

    Raises ClientGone, but not of one that is endless.
    """

    async def sent() -> None:
        async with aclosing(reply.parts) as parts:
            await send(_head(reply, [], request_id))
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    try:
        await unless_client_goes(receive, sent())
    except ClientGone:
        if not reply.endless:
            raise


def _head(reply: Reply | Streamed, length: list[tuple[bytes, bytes]], request_id: str) -> Message:
    headers = [(b"content-type", reply.media_type.encode("latin-1")), *length]
    headers += [(key.encode("latin-1"), value.encode("latin-1")) for key, value in reply.headers.items()]
    headers.append((b"x-request-id", request_id.encode("latin-1")))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


async def unless_client_goes(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client disconnects. Raises ClientGone then."""
    task = asyncio.current_task()
    assert task is not None
    watchers: list[asyncio.Task[None]] = []
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    loop = asyncio.get_running_loop()
    timer = loop.call_later(_WATCH_AFTER_SECONDS, lambda: watchers.append(loop.create_task(watch())))
    try:
        return await work
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ClientGone from None
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()
