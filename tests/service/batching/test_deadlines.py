"""What is refused, given up, or ended: limits, deadlines, cancels, draining."""

import asyncio
import threading

import numpy as np
import pytest

from service.errors import DeadlinePassed, Draining, QueueFull
from tests.service.batching.stage import (
    Stage,
    dropped,
    painted,
    refused,
    stage,
)
from tests.waiting import until


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
        seconds = 0.02
        while not one.passes:  # a busy machine may not have begun the pass by then
            with pytest.raises(DeadlinePassed):
                await one.ask(1, seconds=seconds)
            seconds *= 2
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


def test_answers_that_come_after_the_event_loop_closed_are_no_error():
    async def leave(one: Stage) -> None:
        one.ask(0)
        await until(lambda: one.passes)

    with stage() as one:
        asyncio.run(leave(one))
        one.gate.set()
    assert one.batcher.accepted_images == 0
