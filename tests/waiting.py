"""Waiting for conditions, never for time."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Return once `condition()` holds. Raises TimeoutError.

    seconds: what no busy machine needs; only a failure waits for so long.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} seconds")
        await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """`until`, where no event loop runs."""
    asyncio.run(until(condition, seconds))
