"""ModelStreamInfer: inferences one after another on one call, answered in their order and computed together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

MOST_AHEAD = 64
"""Requests of one stream that are under way at once; the next is read when the first of them is answered."""


async def in_order(
    requests: AsyncIterator[Any], answer: Callable[[Any], Awaitable[Any]]
) -> AsyncIterator[Any]:
    """The answers of all requests; `answer` raises nothing."""
    under_way: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue(MOST_AHEAD)

    async def read() -> None:
        try:
            async for request in requests:
                await under_way.put(asyncio.ensure_future(answer(request)))
        finally:
            await under_way.put(None)

    reading = asyncio.ensure_future(read())
    try:
        while (one := await under_way.get()) is not None:
            yield await one
        await reading
    finally:
        reading.cancel()
        while not under_way.empty():
            if left := under_way.get_nowait():
                left.cancel()
