"""Models side by side: whose turn it is, and lines that come and go."""

import asyncio
import gc
import threading
import time
import weakref

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.batching.batcher import Batcher
from service.generator.engines.fake import FakeEngine
from tests.service.batching.stage import (
    CONTRACT,
    Stage,
    painted,
    stage,
    submit,
)
from tests.waiting import until


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


class Clock:
    """The lanes' clock, on which a pass takes what it is said to, however busy the machine is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr("service.batching.lanes.time", self)

    def monotonic(self) -> float:
        return self.now


def test_models_have_equal_time_on_the_lanes_whatever_their_passes_take(monkeypatch):
    """One whose passes take ten times as long has a tenth of the passes, and holds up the other no longer than that."""
    clock = Clock(monkeypatch)

    async def play() -> None:
        passes: list[str] = []
        all_wait = threading.Event()
        batcher = Batcher(1, 10_000)
        lines = {}
        for name, seconds in (("long", 0.03), ("short", 0.003)):

            def on_pass(size: int, name: str = name, seconds: float = seconds) -> None:
                all_wait.wait(20)
                passes.append(name)
                clock.now += seconds

            lines[name] = batcher.add(name, FakeEngine(CONTRACT, on_pass=on_pass), 8, seconds)
        asked = [asyncio.ensure_future(submit(batcher, lines["long"], 0, n=8)) for _ in range(20)]
        asked += [asyncio.ensure_future(submit(batcher, lines["short"], 0, n=8)) for _ in range(200)]
        await until(lambda: batcher.accepted_images == 220 * 8)
        all_wait.set()
        await asyncio.gather(*asked)
        await asyncio.to_thread(batcher.close)
        tenth = [i for i, name in enumerate(passes) if name == "long"][9]
        assert 40 < passes[:tenth].count("short") < 160

    asyncio.run(play())


def test_a_model_that_was_idle_has_saved_up_nothing(monkeypatch):
    clock = Clock(monkeypatch)

    async def play() -> None:
        passes: list[str] = []
        late_ones_wait = threading.Event()
        batcher = Batcher(1, 10_000)
        lines = {}
        for name in ("busy", "late"):

            def on_pass(size: int, name: str = name) -> None:
                passes.append(name)
                if len(passes) == 20:
                    late_ones_wait.wait(20)
                clock.now += 0.003

            lines[name] = batcher.add(name, FakeEngine(CONTRACT, on_pass=on_pass), 8, 0.02)
        asked = [asyncio.ensure_future(submit(batcher, lines["busy"], 0, n=8)) for _ in range(60)]
        await until(lambda: len(passes) == 20)
        asked += [asyncio.ensure_future(submit(batcher, lines["late"], 0, n=8)) for _ in range(20)]
        await until(lambda: lines["late"].queue.waiting_images == 20 * 8)
        late_ones_wait.set()
        await asyncio.gather(*asked)
        first = passes.index("late")
        assert 5 <= passes[first : first + 20].count("busy") <= 15
        await asyncio.to_thread(batcher.close)

    asyncio.run(play())
