"""Which thread runs a pass."""

import asyncio
import threading

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.generator.engines.fake import FakeEngine, paint
from tests.service.batching.stage import (
    CONTRACT,
    SHAPE,
    Stage,
    painted,
    stage,
    submit,
)
from tests.waiting import until, wait_until


def test_a_lone_pass_takes_every_thread_and_two_at_once_take_a_lane_each():
    async def play() -> None:
        took: list[str] = []
        gate = threading.Event()

        def record(name: str):
            def forward(z: np.ndarray, label: np.ndarray | None) -> np.ndarray:
                took.append(name)
                gate.wait()
                return paint(z, label, SHAPE)

            return forward

        engine = FakeEngine(CONTRACT, lanes=2)
        engine.wide, engine.lanes = record("wide"), [record("lane"), record("lane")]
        batcher = Batcher(2, 100)
        try:
            line = batcher.add("fake", engine, 8)
            first = asyncio.ensure_future(submit(batcher, line, 0))
            await until(lambda: took == ["wide"])
            second = asyncio.ensure_future(submit(batcher, line, 1))
            await until(lambda: took == ["wide", "lane"])
            gate.set()
            await asyncio.gather(first, second)
        finally:
            gate.set()
            batcher.close()

    asyncio.run(play())


def threads_of_passes(pass_seconds: float, lanes: int, n: int, slow_too: bool = False) -> set[str]:
    """Names of the threads that ran the passes of one request for n images, in batches of 8."""
    ran: set[str] = set()
    engine = FakeEngine(CONTRACT, lanes=lanes, on_pass=lambda size: ran.add(threading.current_thread().name))
    batcher = Batcher(lanes, 10_000)
    line = batcher.add("quick", engine, 8, pass_seconds)
    if slow_too:
        batcher.add("slow", FakeEngine(CONTRACT, lanes=lanes), 8, pass_seconds=1)
    # Each new line wakes them; one that has not seen yet that there is nothing to do would take what comes.
    wait_until(lambda: len(batcher._lanes._work._waiters) == lanes)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        np.testing.assert_array_equal(asyncio.run(submit(batcher, line, 3, n)), painted(3, n))
    finally:
        batcher.close()
    return ran


def test_a_lone_pass_of_a_quick_model_wakes_no_thread():
    assert threads_of_passes(0.004, lanes=2, n=4) == {"MainThread"}


def test_what_a_thread_would_begin_too_late_is_left_to_the_event_loop():
    assert threads_of_passes(0.0001, lanes=2, n=400) == {"MainThread"}


def test_a_backlog_of_a_quick_model_is_left_to_threads_until_little_of_it_is_left():
    ran: list[str] = []
    here = threading.Event()

    def on_pass(size: int) -> None:
        ran.append(threading.current_thread().name)
        if ran[-1] == "MainThread":
            here.set()
        elif len(ran) > 98:  # little is left, and a thread may be done with it before the event loop comes
            here.wait(20)

    engine = FakeEngine(CONTRACT, lanes=2, pass_seconds=0.002, on_pass=on_pass)
    batcher = Batcher(2, 10_000)
    line = batcher.add("quick", engine, 8, 0.004)
    try:
        np.testing.assert_array_equal(asyncio.run(submit(batcher, line, 3, 800)), painted(3, 800))
    finally:
        batcher.close()
    assert 100 <= len(ran) <= 102, "the last images are shared out among idle lanes"
    assert ran[:90].count("MainThread") == 0
    assert "MainThread" in ran[90:]


def test_a_slow_model_does_not_hold_up_the_event_loop():
    assert "MainThread" not in threads_of_passes(0.1, lanes=2, n=80)
    assert "MainThread" not in threads_of_passes(0.004, lanes=2, n=80, slow_too=True)


def test_an_event_loop_that_is_the_only_lane_answers_other_things_between_passes():
    async def play(one: Stage) -> None:
        large = one.ask(0, n=800)
        turns = 0
        while not large.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 50
        np.testing.assert_array_equal(await large, painted(0, n=800))

    with stage(pass_seconds=0.0001, quick=True) as one:
        one.gate.set()
        asyncio.run(play(one))


def test_a_pass_on_the_event_loop_gives_way_but_not_for_ever():
    async def play(one: Stage, turns_with_arrivals: int) -> int:
        asked = one.ask(1)
        turns = 0
        while not asked.done():
            if turns < turns_with_arrivals:
                one.batcher.give_way()
            turns += 1
            await asyncio.sleep(0)
        return turns

    with stage(quick=True) as one:
        one.gate.set()
        at_once = asyncio.run(play(one, 0))
        assert asyncio.run(play(one, 10)) >= at_once + 9
        assert asyncio.run(play(one, 10**9)) < at_once + 100


def test_two_lanes_of_which_one_is_the_event_loop_both_run():
    """The event loop leaves to a thread what does not fit its own pass, and no pass runs beside them."""
    running, most = [0], [0]
    both = threading.Barrier(2, timeout=20)

    def forward(z: np.ndarray, label: np.ndarray | None) -> np.ndarray:
        running[0] += 1
        most[0] = max(most[0], running[0])
        if not both.broken and len(z) == 8:
            both.wait()
        running[0] -= 1
        return paint(z, label, SHAPE)

    engine = FakeEngine(CONTRACT, lanes=2)
    engine.lanes = [forward, forward]
    batcher = Batcher(2, 10_000)
    line = batcher.add("quick", engine, 8, 0.004)
    try:
        np.testing.assert_array_equal(asyncio.run(submit(batcher, line, 3, 16)), painted(3, 16))
    finally:
        batcher.close()
    assert most == [2]


def test_a_model_runs_on_as_many_lanes_as_it_has_and_leaves_the_others_to_who_has_them():
    async def play(one: Stage) -> None:
        passes: list[int] = []
        engine = FakeEngine(CONTRACT, lanes=3, gate=one.gate, on_pass=passes.append)
        wider = one.batcher.add("wider", engine, 8, 0.02)
        narrow = [one.ask(seed, n=8) for seed in range(3)]
        await until(lambda: one.passes)
        wide = [asyncio.ensure_future(submit(one.batcher, wider, seed, 8)) for seed in range(3)]
        await until(lambda: len(passes) == 2)
        assert one.passes == [8], "its only lane is taken"
        assert sorted(running.model for running in one.batcher.passes()) == ["fake", "wider", "wider"]
        one.gate.set()
        for asked in (narrow, wide):
            for seed, answer in enumerate(await asyncio.gather(*asked)):
                np.testing.assert_array_equal(answer, painted(seed, n=8))

    with stage(lanes=1) as one:
        asyncio.run(play(one))


@pytest.mark.parametrize("seconds", [0.0001, 0.004, 0.02])
def test_a_model_whose_only_lane_is_taken_holds_up_no_other(seconds):
    async def play(one: Stage) -> None:
        other = one.batcher.add("other", FakeEngine(CONTRACT, lanes=2), 8, seconds)
        stuck = [one.ask(seed, n=8) for seed in range(20)]
        await until(lambda: one.passes)
        for seed in range(20):
            np.testing.assert_array_equal(await submit(one.batcher, other, seed, 16), painted(seed, 16))
        assert one.passes == [8]
        one.gate.set()
        await asyncio.gather(*stuck)

    with stage(lanes=1) as one:
        asyncio.run(play(one))
