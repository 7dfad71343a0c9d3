"""A batcher on its stage: passes of a fake engine that wait at a gate."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from prometheus_client import REGISTRY

from service.batching.batcher import Batcher, Line
from service.generator.engines.fake import FakeEngine, paint
from service.generator.latents import latents
from tests.generators import Tiny

TINY = Tiny(golden_samples=0)

CONTRACT = TINY.contract()

SHAPE = (1, 8, 8)


class Stage:
    """A batcher with one fake model, whose passes wait at a gate until it is opened."""

    def __init__(
        self,
        *,
        lanes: int = 1,
        max_batch: int = 8,
        max_queue_images: int = 10_000,
        quick: bool = False,
        **engine: Any,
    ) -> None:
        self.gate = threading.Event()
        self.passes: list[int] = []
        fake = FakeEngine(CONTRACT, lanes=lanes, gate=self.gate, on_pass=self.passes.append, **engine)
        self.batcher = Batcher(lanes, max_queue_images)
        self.line = self.batcher.add("fake", fake, max_batch, 0.0001 if quick else 0.02)

    def ask(self, seed: int, n: int = 1, label: int = 0, seconds: float = 30) -> asyncio.Task[np.ndarray]:
        return asyncio.ensure_future(submit(self.batcher, self.line, seed, n, label, seconds))


@contextmanager
def stage(**options: Any) -> Iterator[Stage]:
    one = Stage(**options)
    try:
        yield one
    finally:
        one.gate.set()
        one.batcher.close()


async def submit(
    batcher: Batcher, line: Line, seed: int, n: int = 1, label: int = 0, seconds: float = 30
) -> Any:
    z, labels = latents(range(seed, seed + n), CONTRACT.z_dim), [label] * n
    return await batcher.submit(line, z, labels, time.monotonic() + seconds, np.copy)


def painted(seed: int, n: int = 1, label: int = 0) -> np.ndarray:
    return paint(latents(range(seed, seed + n), CONTRACT.z_dim), np.full(n, label), SHAPE)


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("ganserve_dropped_total", {"reason": reason}) or 0


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("ganserve_refused_total", {"reason": reason}) or 0
