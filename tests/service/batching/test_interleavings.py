"""Any order of requests gives the pictures of asking alone."""

import asyncio

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching.batcher import Batcher
from service.generator.engine import Engine
from service.generator.engines.fake import FakeEngine
from service.generator.engines.ort import OrtEngine
from service.generator.latents import latents
from tests.service.batching.stage import (
    CONTRACT,
    TINY,
    submit,
)

asked = st.lists(
    st.tuples(
        st.integers(0, 2**53 - 100), st.integers(1, 40), st.integers(0, 9), st.booleans(), st.integers(0, 3)
    ),
    min_size=1,
    max_size=12,
)


def check_interleaving(engine: Engine, asked: list, max_batch: int, pass_seconds: float) -> None:
    """Submit all, in this order, giving way and cancelling where told; every answer is that of asking alone."""

    async def play() -> None:
        tasks = []
        for seed, n, label, cancelled, gives_way in asked:
            # What `pass_seconds` claims is not what it takes.
            tasks.append(asyncio.ensure_future(submit(batcher, line, seed, n, label, seconds=10_000)))
            for _ in range(gives_way):
                await asyncio.sleep(0)
            if cancelled:
                tasks[-1].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for (seed, n, label, cancelled, _), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                assert cancelled
                continue
            z = latents(range(seed, seed + n), CONTRACT.z_dim)
            alone = [engine.wide(z[i : i + 1], np.array([label]))[0] for i in range(n)]
            np.testing.assert_array_equal(outcome, np.stack(alone))

    batcher = Batcher(len(engine.lanes), 10_000)
    line = batcher.add("any", engine, max_batch, pass_seconds)
    try:
        asyncio.run(play())
    finally:
        batcher.close()
    assert (batcher.accepted_images, line.queue.waiting_images) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(asked, st.integers(1, 9), st.integers(1, 3), st.sampled_from([0.0001, 0.004, 1]))
def test_any_interleaving_gives_the_pictures_of_asking_alone(asked, max_batch, lanes, pass_seconds):
    check_interleaving(FakeEngine(CONTRACT, lanes=lanes), asked, max_batch, pass_seconds)


ONNX = OrtEngine(TINY.file(), CONTRACT, cuda=False, precision="auto", threads=2)


@settings(max_examples=30, deadline=None)
@given(asked, st.integers(1, 9), st.sampled_from([0.0001, 0.004, 1]))
def test_any_interleaving_on_a_real_engine_gives_the_pictures_of_asking_alone(asked, max_batch, pass_seconds):
    check_interleaving(ONNX, asked, max_batch, pass_seconds)
