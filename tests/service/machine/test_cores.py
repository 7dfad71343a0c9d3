import asyncio
import threading

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.generator.engines.fake import FakeEngine
from service.machine.cores import RECENT_SECONDS, Cores
from tests.service.batching.stage import CONTRACT, painted, submit
from tests.waiting import until


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_idle_cores_are_those_that_no_worker_uses_or_had_work_on_just_now(tmp_path):
    clock = Clock()
    first, second = (
        Cores(4, workers=2, worker=worker, shared=tmp_path / "new", clock=clock) for worker in (0, 1)
    )
    assert (first.idle(0), second.idle(0)) == (4, 4)
    second.note(3)
    assert (first.idle(0), first.idle(2), second.idle(3)) == (1, -1, 1)
    second.note(0)
    assert (first.idle(1), second.idle(0)) == (2, 4)
    clock.now += RECENT_SECONDS
    assert first.idle(1) == 3
    second.note(1)
    clock.now += 100
    assert first.idle(1) == 2, "a pass may be long"


def test_a_worker_that_starts_anew_runs_nothing(tmp_path):
    first, killed = (Cores(2, workers=2, worker=worker, shared=tmp_path) for worker in (0, 1))
    killed.note(2)
    assert first.idle(0) == 0
    Cores(2, workers=2, worker=1, shared=tmp_path)
    assert first.idle(0) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_where_workers_share_nothing_all_cores_are_their_own(workers, tmp_path):
    (tmp_path / "file").write_text("")
    shared = None if workers == 1 else tmp_path / "file" / "no-folder"
    cores = Cores(2, workers=workers, shared=shared)
    cores.note(1)
    assert cores.idle(1) == 1


def test_a_worker_takes_the_cores_that_others_leave_and_one_in_any_case(tmp_path):
    async def play() -> None:
        gate, passes, clock = threading.Event(), [], Clock()
        other = Cores(2, workers=2, worker=1, shared=tmp_path, clock=clock)
        batcher = Batcher(2, 1000, cores=Cores(2, workers=2, worker=0, shared=tmp_path, clock=clock))
        line = batcher.add("fake", FakeEngine(CONTRACT, lanes=2, gate=gate, on_pass=passes.append), 8)
        try:
            other.note(2)
            first, second = (asyncio.ensure_future(submit(batcher, line, seed, 8)) for seed in (0, 100))
            await until(lambda: passes == [8])
            await asyncio.sleep(0)
            assert len(batcher.passes()) == 1
            assert other.idle(0) == 1
            other.note(0)
            clock.now += RECENT_SECONDS
            third = asyncio.ensure_future(submit(batcher, line, 200, 8))
            await until(lambda: passes == [8, 8])
            gate.set()
            for seed, answer in ((0, first), (100, second), (200, third)):
                np.testing.assert_array_equal(await answer, painted(seed, 8))

            def is_idle_after_a_while() -> bool:  # an answer comes before its lane is given back
                clock.now += RECENT_SECONDS
                return other.idle(0) == 2

            await until(is_idle_after_a_while)
        finally:
            gate.set()
            batcher.close()

    asyncio.run(play())
