import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from service.batching.batcher import Batcher, Line
from service.errors import DeadlinePassed, Draining, EngineFailed, QueueFull
from service.generator.engine import Engine
from service.generator.engines.fake import FakeEngine, paint
from service.generator.engines.ort import OrtEngine
from service.generator.latents import latents
from tests.generators import Tiny
from tests.waiting import until

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


def test_models_take_turns():
    async def play(one: Stage) -> None:
        order: list[str] = []
        other = FakeEngine(CONTRACT, on_pass=lambda size: order.append("other"))
        second = one.batcher.add("other", other, 8)
        busy = one.ask(0, n=800)
        await until(lambda: one.passes)
        answer = asyncio.ensure_future(submit(one.batcher, second, 1))
        await until(lambda: second.queue.waiting_images)
        one.gate.set()
        await answer
        assert not busy.done()
        await busy

    with stage(pass_seconds=0.002) as one:
        asyncio.run(play(one))


def test_requests_are_counted_by_version_and_by_how_they_ended():
    def counted(outcome: str) -> float:
        labels = {"model": "counted", "version": "v1", "outcome": outcome}
        return REGISTRY.get_sample_value("ganserve_version_requests_total", labels) or 0

    async def play(one: Stage) -> None:
        outcomes = ("answered", "failed", "deadline", "disconnect")
        before = [counted(outcome) for outcome in outcomes]
        line = one.batcher.add("counted", FakeEngine(CONTRACT, fail_on=9), 1, 0.001, version="v1")
        busy = one.ask(0)
        await until(lambda: one.passes)
        asked = [
            asyncio.ensure_future(submit(one.batcher, line, 1, 3)),
            asyncio.ensure_future(submit(one.batcher, line, 2, label=9)),
            asyncio.ensure_future(submit(one.batcher, line, 3, seconds=0.05)),
            asyncio.ensure_future(submit(one.batcher, line, 4)),
        ]
        await until(asked[2].done)
        asked[3].cancel()
        one.gate.set()
        await asyncio.gather(busy, *asked, return_exceptions=True)
        assert [counted(outcome) for outcome in outcomes] == [count + 1 for count in before]

    with stage() as one:
        asyncio.run(play(one))


def test_the_versions_of_a_model_count_what_waits_together():
    def waiting() -> float:
        return REGISTRY.get_sample_value("ganserve_queue_images", {"model": "two"}) or 0

    async def play(one: Stage) -> None:
        lines = [one.batcher.add("two", FakeEngine(CONTRACT), 8, 1, version=version) for version in "ab"]
        busy = one.ask(0)
        await until(lambda: one.passes)
        asked = [
            asyncio.ensure_future(submit(one.batcher, line, 1, n))
            for line, n in zip(lines, (3, 4), strict=True)
        ]
        await until(lambda: waiting() == 7)
        asked[0].cancel()
        await until(lambda: waiting() == 4)
        one.gate.set()
        await asyncio.gather(busy, asked[1])
        assert waiting() == 0

    with stage() as one:
        asyncio.run(play(one))


def test_a_line_is_let_go_once_all_that_it_got_has_ended():
    async def play(one: Stage) -> None:
        other = one.batcher.add("other", FakeEngine(CONTRACT), 1, 1)
        busy = one.ask(0)
        await until(lambda: one.passes)
        asked = [asyncio.ensure_future(submit(one.batcher, other, seed, 3)) for seed in range(2)]
        queue = other.queue
        await until(lambda: queue.waiting_images == 6)
        one.batcher.remove(other)
        line = weakref.ref(other)
        del other
        assert line() is not None
        asked[1].cancel()
        one.gate.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        np.testing.assert_array_equal(answers[0], painted(0, n=3))
        await busy
        del answers, asked
        await until(lambda: gc.collect() is not None and line() is None)
        np.testing.assert_array_equal(await one.ask(6), painted(6))

    with stage() as one:
        asyncio.run(play(one))


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("seconds", [0.0001, 0.01])
def test_what_waited_for_threads_is_run_when_the_last_slow_line_has_gone(lanes, seconds):
    """From then on passes are the event loop's; but a thread may still have a lane."""

    async def play(one: Stage) -> None:
        quick = one.batcher.add("quick", FakeEngine(CONTRACT, lanes=lanes), 8, seconds)
        running = [one.ask(seed, n=8) for seed in range(lanes)]
        await until(lambda: len(one.passes) == lanes)
        waiting = asyncio.ensure_future(submit(one.batcher, quick, 7))
        await until(lambda: quick.queue.waiting_images)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        one.batcher.remove(one.line)
        line = weakref.ref(one.line)
        del running, task, one.line
        await asyncio.sleep(0.01)  # for the event loop to find no lane free
        one.gate.set()
        np.testing.assert_array_equal(await asyncio.wait_for(waiting, 10), painted(7))
        np.testing.assert_array_equal(await submit(one.batcher, quick, 8), painted(8))
        await until(lambda: gc.collect() is not None and line() is None)

    with stage(lanes=lanes) as one:
        asyncio.run(play(one))


def test_what_a_thread_was_woken_for_is_run_though_it_is_no_longer_the_threads():
    async def play(one: Stage) -> None:
        quick = one.batcher.add("quick", FakeEngine(CONTRACT), 8, 0.0001)
        for seed in range(20):
            slow = one.batcher.add("slow", FakeEngine(CONTRACT), 8, 1)
            asked = asyncio.ensure_future(submit(one.batcher, quick, seed))
            await asyncio.sleep(0)  # until it is queued; the thread has had no time to take it
            one.batcher.remove(slow)
            np.testing.assert_array_equal(await asyncio.wait_for(asked, 10), painted(seed))

    with stage(quick=True) as one:
        asyncio.run(play(one))


@pytest.mark.parametrize("quick", [True, False])
def test_lines_may_come_and_go_under_load(quick):
    """Slow ones put the passes on threads, and with the last of them passes come back to the event loop."""

    async def play() -> None:
        batcher = Batcher(2, 10_000)
        try:
            line = batcher.add("stays", FakeEngine(CONTRACT, lanes=2), 4, 0.0001 if quick else 0.01)
            asking = True

            async def ask(seed: int) -> int:
                count = 0
                while asking:
                    image = await submit(batcher, line, seed)
                    np.testing.assert_array_equal(image, painted(seed))
                    count += 1
                return count

            clients = [asyncio.ensure_future(ask(seed)) for seed in range(8)]
            for turn in range(30):
                comes = batcher.add("comes", FakeEngine(CONTRACT, lanes=2), 4, 1)
                answers = [asyncio.ensure_future(submit(batcher, comes, seed)) for seed in range(turn % 5)]
                await asyncio.sleep(0)
                batcher.remove(comes)
                for seed, answer in enumerate(answers):
                    np.testing.assert_array_equal(await answer, painted(seed))
            asking = False
            assert min(await asyncio.wait_for(asyncio.gather(*clients), 20)) > 0
        finally:
            batcher.close()

    asyncio.run(play())


def test_models_have_equal_time_on_the_lanes_whatever_their_passes_take():
    """One whose passes take ten times as long has a tenth of the passes, and holds up the other no longer than that."""

    async def play() -> None:
        passes: list[str] = []
        batcher = Batcher(1, 10_000)
        lines = {}
        for name, seconds in (("long", 0.03), ("short", 0.003)):
            engine = FakeEngine(
                CONTRACT, pass_seconds=seconds, on_pass=lambda size, name=name: passes.append(name)
            )
            lines[name] = batcher.add(name, engine, 8, seconds)
        asked = [asyncio.ensure_future(submit(batcher, lines["long"], 0, n=8)) for _ in range(20)]
        asked += [asyncio.ensure_future(submit(batcher, lines["short"], 0, n=8)) for _ in range(200)]
        await until(lambda: passes.count("long") == 10)
        assert 40 < passes.count("short") < 160
        batcher.drain()
        await asyncio.gather(*asked)
        await asyncio.to_thread(batcher.close)

    asyncio.run(play())


def test_a_model_that_was_idle_has_saved_up_nothing():
    async def play() -> None:
        passes: list[str] = []
        batcher = Batcher(1, 10_000)
        lines = {}
        for name in ("busy", "late"):
            engine = FakeEngine(
                CONTRACT, pass_seconds=0.003, on_pass=lambda size, name=name: passes.append(name)
            )
            lines[name] = batcher.add(name, engine, 8, 0.02)
        asked = [asyncio.ensure_future(submit(batcher, lines["busy"], 0, n=8)) for _ in range(60)]
        await until(lambda: len(passes) == 20)
        asked += [asyncio.ensure_future(submit(batcher, lines["late"], 0, n=8)) for _ in range(20)]
        await asyncio.gather(*asked)
        first = passes.index("late")
        assert 5 <= passes[first : first + 20].count("busy") <= 15
        await asyncio.to_thread(batcher.close)

    asyncio.run(play())


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


def test_admission_counts_images_and_refuses_before_queueing():
    async def play(one: Stage) -> None:
        before = refused("queue_full")
        waiting = [one.ask(seed, n=5) for seed in range(2)]
        await until(lambda: one.batcher.accepted_images == 10)
        with pytest.raises(QueueFull, match="limit of 12") as caught:
            await one.ask(0, n=3)
        assert 1 <= caught.value.retry_after_seconds <= 60
        last_that_fits = one.ask(7, n=2)
        await until(lambda: one.batcher.accepted_images == 12)
        one.gate.set()
        await asyncio.gather(*waiting, last_that_fits)
        assert one.batcher.accepted_images == 0
        assert refused("queue_full") == before + 1
        assert len(await one.ask(0, n=12)) == 12

    with stage(max_queue_images=12) as one:
        asyncio.run(play(one))


def test_a_request_past_its_deadline_is_answered_at_once_and_never_computed():
    async def play(one: Stage) -> None:
        before = dropped("deadline")
        first = one.ask(0)
        await until(lambda: one.passes)
        with pytest.raises(DeadlinePassed):
            await one.ask(1, n=4, seconds=0.02)
        assert one.line.queue.waiting_images == 0
        one.gate.set()
        await first
        await one.ask(2, n=3)
        assert one.passes == [1, 3]
        assert dropped("deadline") == before + 1
        assert one.batcher.accepted_images == 0

    with stage() as one:
        asyncio.run(play(one))


def test_a_deadline_that_has_passed_is_refused_before_queueing():
    async def play(one: Stage) -> None:
        with pytest.raises(DeadlinePassed):
            await one.ask(1, seconds=-1)
        assert one.passes == []

    with stage() as one:
        asyncio.run(play(one))


def test_a_deadline_holds_while_the_pass_itself_hangs():
    async def play(one: Stage) -> None:
        with pytest.raises(DeadlinePassed):
            await one.ask(1, seconds=0.02)
        assert one.passes == [1]
        one.gate.set()
        np.testing.assert_array_equal(await one.ask(2), painted(2))

    with stage() as one:
        asyncio.run(play(one))


def test_what_was_abandoned_is_never_computed():
    async def play(one: Stage) -> None:
        before = dropped("disconnect")
        first = one.ask(0)
        await until(lambda: one.passes)
        left = one.ask(1, n=4)
        await until(lambda: one.line.queue.waiting_images == 4)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert (one.line.queue.waiting_images, one.batcher.accepted_images) == (0, 1)
        one.gate.set()
        await first
        await one.ask(2, n=2)
        assert one.passes == [1, 2]
        assert dropped("disconnect") == before + 1

    with stage() as one:
        asyncio.run(play(one))


def test_a_large_request_that_was_abandoned_half_way_stops():
    async def play(one: Stage) -> None:
        large = one.ask(0, n=80)
        await until(lambda: one.passes)
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large
        one.gate.set()
        np.testing.assert_array_equal(await one.ask(9), painted(9))
        assert one.passes == [8, 1]

    with stage() as one:
        asyncio.run(play(one))


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


def test_draining_refuses_new_work_and_answers_what_was_accepted():
    async def play(one: Stage) -> None:
        accepted = [one.ask(seed, n=20) for seed in range(3)]
        await until(lambda: one.batcher.accepted_images == 60)
        one.batcher.drain()
        with pytest.raises(Draining):
            await one.ask(9)
        one.gate.set()
        closing = asyncio.ensure_future(asyncio.to_thread(one.batcher.close))
        for seed, answer in enumerate(accepted):
            np.testing.assert_array_equal(await answer, painted(seed, n=20))
        await closing

    with stage(lanes=2) as one:
        asyncio.run(play(one))


def test_closing_ends_every_thread():
    before = threading.active_count()
    with stage(lanes=3):
        assert threading.active_count() == before + 3
    assert threading.active_count() == before


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
    engine = FakeEngine(
        CONTRACT,
        lanes=2,
        pass_seconds=0.002,
        on_pass=lambda size: ran.append(threading.current_thread().name),
    )
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


def test_an_engine_with_too_few_lanes_is_a_bug():
    with stage(lanes=2) as one, pytest.raises(ValueError, match="this is a bug"):
        one.batcher.add("narrow", FakeEngine(CONTRACT, lanes=1), 8)


def test_answers_that_come_after_the_event_loop_closed_are_no_error():
    async def leave(one: Stage) -> None:
        one.ask(0)
        await until(lambda: one.passes)

    with stage() as one:
        asyncio.run(leave(one))
        one.gate.set()
    assert one.batcher.accepted_images == 0


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
