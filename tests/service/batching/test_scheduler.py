"""Whose turn it is, where models have different numbers of lanes and always work; a pass takes a second."""

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count, islice
from typing import Any, cast

import numpy as np
import pytest

from service.batching.forward_pass import Line
from service.batching.request_queue import Request, RequestQueue, Timing
from service.batching.scheduler import Scheduler, next_of
from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny

CONTRACT = Tiny(golden_samples=0).contract()


def add(scheduler: Scheduler, name: str, lanes: int) -> None:
    """A line of so many lanes whose work never ends."""
    line = Line(name, FakeEngine(CONTRACT, lanes=lanes), RequestQueue(8, 8), 1.0)
    nobody = cast(Any, None)
    z = np.zeros((1, 2), np.float32)
    scheduler.add(line)
    scheduler.append(line, Request(z, None, 1e9, 0.0, nobody, nobody, nobody, Timing()))


def begun(scheduler: Scheduler, at_once: int) -> Iterator[str]:
    """Whose pass begins, one after another, where so many run at once."""
    now, numbers = 0.0, count()
    running: list[tuple[float, int, Line, int]] = []
    while True:
        while len(running) < at_once and (waiting := scheduler.waiting()):
            line = next_of(waiting)
            heappush(running, (now + line.pass_seconds, next(numbers), line, scheduler.begin(line)))
            yield line.name
        now, _, line, lane = heappop(running)
        scheduler.end(line, lane)


@pytest.mark.parametrize(
    ("lanes", "percent"),
    [
        ([1], [100]),
        ([2, 2], [50, 50]),
        ([1, 2], [50, 50]),
        ([1, 3], [33, 67]),
        ([1, 1, 3], [33, 33, 33]),
        ([1, 2, 3], [33, 33, 33]),
    ],
    ids=str,
)
def test_models_share_the_lanes_equally_as_far_as_each_has_so_many(lanes, percent):
    scheduler = Scheduler(lanes_encode=False)
    for i, each in enumerate(lanes):
        add(scheduler, f"{i}", each)
    turns = Counter(islice(begun(scheduler, max(lanes)), 3000))
    assert [turns[f"{i}"] / 30 for i in range(len(lanes))] == pytest.approx(percent, abs=1)


def test_a_model_that_had_all_its_lanes_has_saved_nothing_up_for_others_to_begin_with():
    """Who comes begins where the last one stood: far behind, it would have every lane until it had caught up."""
    scheduler = Scheduler(lanes_encode=False)
    add(scheduler, "one lane", 1)
    add(scheduler, "all", 4)
    passes = begun(scheduler, 4)
    assert Counter(islice(passes, 4000))["all"] > 2900
    while next(passes) != "one lane":
        pass
    add(scheduler, "comes", 3)
    turns = Counter(islice(passes, 80))
    assert turns["one lane"] >= 19
    assert turns["comes"] >= 25
    assert turns["all"] >= 25
