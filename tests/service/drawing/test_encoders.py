import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.drawing.encoders import LARGE, LARGE_PIXELS, SMALL, encoded
from service.drawing.sampler import SampleRequest, resolve
from service.errors import DeadlinePassed, EngineFailed, QueueFull
from service.generator.engines.fake import FakeEngine
from service.registry.models import Models
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.waiting import until


@pytest.fixture
def models(tmp_path):
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract())
    with loaded(tmp_path, {"tiny": tiny.file()}, engine, max_batch=8) as one:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        yield one


async def answer(
    models: Models, encode: Callable[[np.ndarray], Any], *, cost: int = 1, label: int = 0, seconds: float = 20
) -> Any:
    draw = resolve(SampleRequest(label=label, n=3, seed=1), models["tiny"], 99)
    return await encoded(draw, time.monotonic() + seconds, "lists", cost, encode)


def refused() -> float:
    return REGISTRY.get_sample_value("ganserve_refused_total", {"reason": "queue_full"}) or 0


class Held:
    """An encoder that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, images: np.ndarray) -> str:
        self.begun.set()
        self.go_on.wait(20)
        return "held"


def test_an_encoder_gets_all_images_in_a_thread_of_its_own(models):
    threads: list[str] = []

    def encode(images: np.ndarray) -> tuple[int, ...]:
        threads.append(threading.current_thread().name)
        return images.shape

    assert asyncio.run(answer(models, encode)) == (3, 1, 8, 8)
    assert threads[0].startswith("pixels")


@pytest.mark.parametrize(("encoders", "cost"), [(SMALL, 1), (LARGE, LARGE_PIXELS + 1)])
def test_more_than_is_made_in_some_seconds_is_refused_before_it_is_drawn(models, encoders, cost, monkeypatch):
    monkeypatch.setattr(encoders, "most_pixels", cost)

    async def play() -> None:
        held = Held()
        first = asyncio.ensure_future(answer(models, held, cost=cost))
        await until(held.begun.is_set)
        before = refused()
        with pytest.raises(QueueFull) as error:
            await answer(models, len, cost=cost)
        assert error.value.retry_after_seconds >= 1
        assert refused() == before + 1
        assert models.batcher is not None
        assert models.batcher.accepted_images == 0
        held.go_on.set()
        assert await first == "held"
        assert await answer(models, len, cost=cost) == 3

    asyncio.run(play())


def test_one_answer_alone_may_be_of_any_size(models):
    assert asyncio.run(answer(models, len, cost=2 * LARGE.most_pixels)) == 3


def test_small_answers_do_not_wait_for_large_ones(models):
    async def play() -> None:
        held = Held()
        large = [
            asyncio.ensure_future(answer(models, held, cost=LARGE_PIXELS + 1))
            for _ in range(LARGE.threads._max_workers + 1)
        ]
        await until(held.begun.is_set)
        assert await answer(models, len, cost=LARGE_PIXELS) == 3
        held.go_on.set()
        assert await asyncio.gather(*large) == ["held"] * len(large)

    asyncio.run(play())


def test_whatever_goes_wrong_leaves_room_for_the_next(models):
    def fails(images: np.ndarray) -> None:
        raise ZeroDivisionError

    async def play() -> None:
        with pytest.raises(ZeroDivisionError):
            await answer(models, fails, cost=LARGE.most_pixels)
        with pytest.raises(EngineFailed):
            await answer(models, len, cost=LARGE.most_pixels, label=9)
        held = Held()
        with pytest.raises(DeadlinePassed):
            await answer(models, held, cost=LARGE.most_pixels, seconds=0.2)
        cancelled = asyncio.ensure_future(answer(models, held, cost=LARGE.most_pixels))
        await until(lambda: LARGE.pixels)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        held.go_on.set()
        assert await answer(models, len, cost=LARGE.most_pixels) == 3

    asyncio.run(play())
