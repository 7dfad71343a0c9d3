import asyncio
import threading
import time

import numpy as np

from service.generator.latents import latents
from tests.service.batching.stage import (
    CONTRACT,
    Stage,
    painted,
    stage,
)
from tests.waiting import until


def test_a_lone_request_starts_at_once():
    async def play(one: Stage) -> None:
        answer = one.ask(5, n=3, label=2)
        await until(lambda: one.passes == [3])
        one.gate.set()
        np.testing.assert_array_equal(await answer, painted(5, n=3, label=2))

    with stage() as one:
        asyncio.run(play(one))


def test_what_waits_while_a_pass_runs_shares_the_next_one():
    async def play(one: Stage) -> None:
        first = one.ask(0)
        await until(lambda: one.passes)
        others = [one.ask(seed, label=seed % 10) for seed in range(1, 12)]
        await until(lambda: one.line.queue.waiting_images == 11)
        one.gate.set()
        await asyncio.gather(first, *others)
        for seed, answer in enumerate(others, 1):
            np.testing.assert_array_equal(await answer, painted(seed, label=seed % 10))
        assert one.passes == [1, 8, 3]

    with stage() as one:
        asyncio.run(play(one))


def test_a_large_request_does_not_hold_up_a_small_one():
    async def play(one: Stage) -> None:
        large = one.ask(0, n=1000)
        await until(lambda: one.passes)
        small = one.ask(5000)
        await until(lambda: one.line.queue.waiting_images == 993)
        one.gate.set()
        np.testing.assert_array_equal(await small, painted(5000))
        assert not large.done()
        np.testing.assert_array_equal(await large, painted(0, n=1000))

    with stage(pass_seconds=0.002) as one:
        asyncio.run(play(one))


def test_a_pass_that_runs_can_be_seen_and_one_that_has_ended_can_not():
    async def play(one: Stage) -> None:
        asked = one.ask(1)
        await until(lambda: one.passes)
        (running,) = one.batcher.passes()
        assert running.model == "fake"
        assert 0 <= time.monotonic() - running.began < 10
        one.gate.set()
        await asked
        await until(lambda: not one.batcher.passes())

    with stage() as one:
        asyncio.run(play(one))


def test_a_large_answer_is_encoded_beside_the_lanes_and_a_small_one_on_its_lane():
    async def play(one: Stage) -> None:
        where: dict[int, str] = {}

        def finish(pixels: np.ndarray) -> bytes:
            where[len(pixels)] = threading.current_thread().name
            return b""

        one.gate.set()
        for n in (8, 9):
            z = latents(range(n), CONTRACT.z_dim)
            await one.batcher.submit(one.line, z, [0] * n, time.monotonic() + 30, finish)
        assert where[8] == "lane-0"
        assert where[9].startswith("encode")

    with stage() as one:
        asyncio.run(play(one))
