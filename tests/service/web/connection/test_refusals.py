import asyncio
import time

from service.web.connection import refusals
from service.web.connection.refusals import HOLD_SECONDS, Refusals
from tests.waiting import until


def play(scene):
    asyncio.run(scene)


def test_a_few_refusals_are_sent_at_once():
    async def scene() -> None:
        held, sent = Refusals(), []
        for number in range(refusals._FREE):
            held.send(lambda number=number: sent.append(number))
        assert sent == list(range(refusals._FREE))

    play(scene())


def test_of_many_the_rest_is_held_back_and_sent_in_order():
    async def scene() -> None:
        held, sent = Refusals(), []
        count = refusals._FREE + 100
        begun = time.monotonic()
        for number in range(count):
            held.send(lambda number=number: sent.append((number, time.monotonic() - begun)))
        assert len(sent) == refusals._FREE
        await until(lambda: len(sent) == count)
        assert [number for number, _ in sent] == list(range(count))
        late = [seconds for _, seconds in sent[refusals._FREE :]]
        assert min(late) >= HOLD_SECONDS - 0.002

    play(scene())


def test_between_those_that_are_let_go_the_event_loop_turns():
    async def scene() -> None:
        held, sent, seen = Refusals(), [], []

        def refuse() -> None:
            sent.append(None)
            time.sleep(0.001)  # what it takes

        for _ in range(refusals._FREE + 40):
            held.send(refuse)
        while len(sent) < refusals._FREE + 40:
            seen.append(len(sent))
            await asyncio.sleep(0)
        assert len(set(seen)) > 40 * 0.001 / refusals._TURN_SECONDS / 2

    play(scene())


def test_after_a_quiet_moment_refusals_are_sent_at_once_again(monkeypatch):
    async def scene() -> None:
        held, sent = Refusals(), []
        for _ in range(refusals._FREE + 1):
            held.send(lambda: sent.append(None))
        await until(lambda: len(sent) == refusals._FREE + 1)
        held._since -= 1
        held.send(lambda: sent.append("at once"))
        assert sent[-1] == "at once"

    play(scene())


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_of_a_core_refusing_takes_its_share_and_no_more():
    async def scene() -> None:
        held, sent = Refusals(), []
        count = refusals._FREE + 20

        def refuse() -> None:
            burn(0.001)
            sent.append(time.monotonic())

        for _ in range(count):
            held.send(refuse)
        await until(lambda: len(sent) == count)
        took = sent[-1] - sent[refusals._FREE]
        assert took >= 0.9 * 18 * 0.001 * refusals._WHOLE / refusals._SHARE

    play(scene())


def test_so_it_is_where_tasks_refuse_and_few_of_them_at_once():
    async def scene() -> None:
        held, sent, at_once = Refusals(), [], []
        count = refusals._FREE + 24

        async def refuse() -> None:
            async with held.turn():
                burn(0.0005)
                sent.append(time.monotonic())

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(refuse())
            while len(sent) < count:
                at_once.append(len(sent))
                await asyncio.sleep(0)
                at_once[-1] = len(sent) - at_once[-1]
        assert max(at_once[1:]) <= refusals._MOST_TASKS
        took = sent[-1] - sent[refusals._FREE]
        assert took >= 0.9 * 16 * 0.0005 * refusals._WHOLE / refusals._SHARE

    play(scene())


def test_who_waits_to_refuse_and_is_cancelled_harms_nobody():
    async def scene() -> None:
        held = Refusals()
        for _ in range(refusals._FREE):
            held.send(lambda: None)

        async def refuse() -> None:
            async with held.turn():
                pass

        first, second = (asyncio.ensure_future(refuse()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()

    play(scene())
