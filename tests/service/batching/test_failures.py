"""What a failing pass, answer or engine does, and to whom."""

import asyncio
import time

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.errors import EngineFailed
from service.generator.engines.fake import FakeEngine
from service.generator.latents import latents
from tests.service.batching.stage import (
    CONTRACT,
    Stage,
    dropped,
    painted,
    stage,
    submit,
)
from tests.waiting import until


def test_a_failed_pass_harms_the_request_only_that_fails_alone_too():
    async def play(one: Stage) -> None:
        before = dropped("engine_failed")
        first = one.ask(0)
        await until(lambda: one.passes)
        together = [one.ask(1), one.ask(2, label=7), one.ask(3)]
        await until(lambda: one.line.queue.waiting_images == 3)
        later = one.ask(4, n=8)
        await until(lambda: one.line.queue.waiting_images == 11)
        one.gate.set()
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        assert type(outcomes[1]) is EngineFailed
        for seed in (1, 3):
            np.testing.assert_array_equal(outcomes[seed - 1], painted(seed))
        assert one.passes[:5] == [1, 3, 1, 1, 1], "each once, and no more"
        np.testing.assert_array_equal(await first, painted(0))
        np.testing.assert_array_equal(await later, painted(4, n=8))
        assert "label 7" not in str(outcomes[1]), "the cause is for the log"
        assert dropped("engine_failed") == before + 1
        assert one.batcher.accepted_images == 0

    with stage(fail_on=7, max_batch=3) as one:
        asyncio.run(play(one))


def test_an_engine_that_loses_an_image_fails_its_pass_and_no_lane_ends():
    fake = FakeEngine(CONTRACT)
    whole = fake.wide
    lossy = [True]
    fake.wide = lambda z, label: whole(z, label)[lossy.pop() if lossy else 0 :]
    batcher = Batcher(1, 100)
    line = batcher.add("lossy", fake, 8)
    try:
        with pytest.raises(EngineFailed):
            asyncio.run(submit(batcher, line, 3, n=2))
        np.testing.assert_array_equal(asyncio.run(submit(batcher, line, 3, n=2)), painted(3, n=2))
    finally:
        batcher.close()


def test_the_rest_of_a_request_whose_pass_failed_is_not_computed():
    async def play(one: Stage) -> None:
        failing = one.ask(0, n=80, label=7)
        await until(lambda: one.passes)
        one.gate.set()
        with pytest.raises(EngineFailed):
            await failing
        await one.ask(1)
        assert one.passes == [8, 1]

    with stage(fail_on=7) as one:
        asyncio.run(play(one))


def test_an_answer_that_can_not_be_encoded_harms_nobody_else():
    async def play(one: Stage) -> None:
        def broken(pixels: np.ndarray) -> bytes:
            raise ValueError("no such format")

        first = one.ask(0)
        await until(lambda: one.passes)
        z, deadline = latents([1], CONTRACT.z_dim), time.monotonic() + 30
        bad = asyncio.ensure_future(one.batcher.submit(one.line, z, [1], deadline, broken))
        good = one.ask(2)
        await until(lambda: one.line.queue.waiting_images == 2)
        one.gate.set()
        with pytest.raises(ValueError, match="no such format"):
            await bad
        np.testing.assert_array_equal(await good, painted(2))
        await first
        assert one.passes == [1, 2]

    with stage() as one:
        asyncio.run(play(one))
