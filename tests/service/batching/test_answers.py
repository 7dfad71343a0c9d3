"""What is encoded where: neither a lane nor the event loop is held up by a large picture."""

import asyncio
import threading
import time

import numpy as np
import pytest

from service.batching.answers import MOST_HERE_BYTES
from service.batching.batcher import Batcher
from service.generator.engines.fake import FakeEngine
from service.generator.latents import latents
from tests.generators import Tiny

SIDE = int((MOST_HERE_BYTES / 3) ** 0.5)  # of the largest square that is encoded by whoever computed it


@pytest.mark.parametrize(
    ("side", "effort", "quick", "where"),
    [
        (SIDE, 1, False, "lane"),
        (SIDE + 1, 1, False, "encode"),
        (SIDE, 5, False, "encode"),
        (SIDE + 1, 0, False, "lane"),
        (SIDE, 1, True, "MainThread"),
        (SIDE + 1, 1, True, "encode"),
    ],
)
def test_a_large_picture_is_encoded_beside_lanes_and_event_loop(side, effort, quick, where):
    contract = Tiny(image=(3, side, side), golden_samples=0).contract()
    threads: list[str] = []

    def finish(pixels: np.ndarray) -> tuple[int, ...]:
        threads.append(threading.current_thread().name)
        return pixels.shape

    async def play() -> None:
        batcher = Batcher(2, 100)
        line = batcher.add("fake", FakeEngine(contract, lanes=2), 8, 0.0001 if quick else 0.02)
        z, deadline = latents([1], contract.z_dim), time.monotonic() + 30
        got = await batcher.submit(line, z, [0], deadline, finish, effort=effort)
        assert got == (1, 3, side, side)
        batcher.close()

    asyncio.run(play())
    assert threads[0].startswith(where)
