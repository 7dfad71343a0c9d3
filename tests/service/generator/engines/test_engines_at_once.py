"""Every engine under requests that come, go and share passes at once: each picture is the one that was asked for."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batching import scheduler
from service.batching.batcher import Batcher, Line
from service.errors import DeadlinePassed, QueueFull
from service.generator.contract import Contract, parse
from service.generator.engine import Engine, Forward
from service.generator.engines.fake import FakeEngine
from service.generator.engines.lone import inputs
from service.generator.engines.ort import OrtEngine
from service.generator.engines.ov import OpenVinoEngine
from service.generator.file.rewired import rewired
from service.generator.latents import Seeded
from tests.generators import Tiny
from tests.waiting import until

SHIPPED = sorted((Path(__file__).parents[4] / "models").glob("*/generator.onnx"))
ENGINES = ["fake", "onnxruntime", "openvino"]
LANES = 2
SEEDS = 256
REQUESTS = 500
AT_ONCE = (2, 3, 100)  # of a few, one often begins alone, and another while it runs
FULL = 16  # images in a pass, at most
GENERATORS = {"grey": Tiny(), "rgb": Tiny(image=(3, 16, 16), z_dim=64), "bare": Tiny(classes=None)}
SLOW = {"slow": Tiny(burn=16), "slow too": Tiny(burn=16, z_dim=64)}
"""Passes of some milliseconds, in which a thread is woken for another."""
SLOW_SECONDS = 0.003
"""Of the fake engine."""
ROUND = (("slow", 7, 1), ("slow too", 0, 8), ("slow too", 8, 8))
"""A lone image, and two requests that fill a pass: of which model, from which seed, how many."""
MOST_ROUNDS = 500


def made(name: str, file: bytes, pass_seconds: float = 0.0, lanes: int = LANES) -> Engine:
    contract = parse(file)
    if name == "fake":
        return FakeEngine(contract, lanes=lanes, pass_seconds=pass_seconds)
    file = rewired(file, contract)
    if name == "openvino":
        return OpenVinoEngine(file, contract, precision="fp32", threads=LANES)
    return OrtEngine(file, contract, cuda=False, precision="fp32", threads=LANES)


class Ran(NamedTuple):
    """A pass: on which thread, of how many images, and beside passes of how many."""

    thread: str
    images: int
    beside: list[int]


class Watched:
    """An engine that notes its passes, and when one of its ways is entered while it is in use, and then fails as a real one may."""

    running: ClassVar[dict[str, int]] = {}
    """The passes of all engines that run now: threads, and images."""

    def __init__(self, engine: Engine) -> None:
        self.twice: list[str] = []
        self.ran: list[Ran] = []
        self.name, self.provider, self.precision = engine.name, engine.provider, engine.precision
        self.reason, self.on_caller = engine.reason, engine.on_caller
        self.max_batch, self.buckets = engine.max_batch, engine.buckets
        self._locks: dict[int, threading.Lock] = {}
        self.wide = self._one_at_a_time(engine.wide, engine)
        self.lanes: Sequence[Forward] = [self._one_at_a_time(lane, engine) for lane in engine.lanes]

    def _one_at_a_time(self, forward: Forward, engine: Engine) -> Forward:
        # What computes on its caller's thread keeps nothing between passes: ONNX Runtime's session takes any number.
        one = len(self._locks) if engine.on_caller or engine.name == "fake" else id(forward)
        lock = self._locks.setdefault(one, threading.Lock())

        def once(z: NDArray[np.float32], label: NDArray[np.int64] | None) -> NDArray[np.uint8]:
            thread = threading.current_thread().name
            if not lock.acquire(blocking=False):
                self.twice.append(thread)
                raise RuntimeError("entered while it was in use")
            self.ran.append(Ran(thread, len(z), list(self.running.values())))
            self.running[thread] = len(z)
            try:
                return forward(z, label)
            finally:
                del self.running[thread]
                lock.release()

        return once


@cache
def watched(name: str, kind: str, lanes: int = LANES) -> tuple[Watched, Contract, list[bytes]]:
    """The engine, and the picture of each seed drawn alone; its class is the seed modulo K."""
    tiny = (GENERATORS | SLOW)[kind]
    engine = made(name, tiny.file(), SLOW_SECONDS if kind in SLOW else 0.0, lanes)
    contract = tiny.contract()
    pictures = [
        engine.lanes[0](*inputs(contract, seed, 1)).tobytes()
        for seed in range(FULL if kind in SLOW else SEEDS)
    ]
    return Watched(engine), contract, pictures


def labels(contract: Contract, seeds: range) -> list[int] | None:
    return None if contract.classes is None else [seed % contract.class_count for seed in seeds]


class Storm:
    """Requests for three models on one batcher: some are cancelled, some late, and models come and go meanwhile."""

    def __init__(
        self,
        name: str,
        dice: random.Random,
        kinds: Sequence[str] = tuple(GENERATORS),
        lanes: Sequence[int] = (LANES,) * len(GENERATORS),
    ) -> None:
        """lanes: of each."""
        self.batcher = Batcher(lanes[0], 10**6)
        self.models = {kind: watched(name, kind, count) for kind, count in zip(kinds, lanes, strict=False)}
        for engine, _, _ in self.models.values():
            engine.ran.clear()
        self.lines = {kind: self._line(kind) for kind in self.models}
        self.dice = dice
        self.settled: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.outcomes: Counter[str] = Counter()

    def _line(self, kind: str) -> Line:
        return self.batcher.add(
            kind, self.models[kind][0], FULL, pass_seconds=0.002, max_piece=8, shared_piece=3
        )

    async def play(self) -> None:
        for part, at_once in enumerate(AT_ONCE):
            await self._play(range(part * REQUESTS, (part + 1) * REQUESTS), at_once)
        await until(lambda: self.batcher.accepted_images == 0)

    async def _play(self, numbers: range, at_once: int) -> None:
        waiting = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                await waiting.acquire()
                group.create_task(self._ask(number)).add_done_callback(lambda _: waiting.release())
                if number % 50 == 49:
                    self._replace(self.dice.choice(list(self.lines)))

    def _replace(self, kind: str) -> None:
        """As a reload does: the old line ends when its requests have ended."""
        old, self.lines[kind] = self.lines[kind], self._line(kind)
        self.batcher.remove(old)

    async def answer(self, kind: str, seeds: range) -> None:
        """One that waits for its pictures."""
        _, contract, pictures = self.models[kind]
        z = Seeded(seeds, contract.z_dim)
        deadline = time.monotonic() + 60
        got = await self.batcher.submit(self.lines[kind], z, labels(contract, seeds), deadline, np.copy)
        if [one.tobytes() for one in got] != [pictures[seed] for seed in seeds]:
            self.wrong.append(f"{kind}, {seeds}")

    async def _ask(self, number: int) -> None:
        kind = self.dice.choice(list(self.lines))
        _, contract, pictures = self.models[kind]
        n = self.dice.choice([1, 1, 1, 2, 5, 8, 9, 40])
        first = self.dice.randrange(SEEDS - n)
        label = labels(contract, range(first, first + n))
        fate = self.dice.choice(["wait"] * 8 + ["cancel", "late"])
        ended = asyncio.get_running_loop().create_future()

        def settle(answer: Any, error: BaseException | None) -> None:
            self.settled[number] += 1
            if not ended.done():
                ended.set_result((answer, error))

        deadline = time.monotonic() + (0.003 if fate == "late" else 60)
        z = Seeded(range(first, first + n), contract.z_dim)
        try:
            request = self.batcher.enqueue(self.lines[kind], z, label, deadline, np.copy, settle)
        except (QueueFull, DeadlinePassed):
            assert fate == "late"
            self.settled[number] += 1
            self.outcomes["refused"] += 1
            return
        if fate == "cancel":
            for _ in range(self.dice.randrange(4)):
                await asyncio.sleep(0)
            if not ended.done():
                self.batcher.cancel(request)
                self.settled[number] += 1  # nobody is to be told any more
                self.outcomes["cancelled"] += 1
                return
        answer, error = await ended
        if error is None:
            self.outcomes["answered"] += 1
            if [one.tobytes() for one in answer] != pictures[first : first + n]:
                self.wrong.append(f"{kind}, seeds {first} to {first + n - 1}")
        elif fate == "late" and isinstance(error, DeadlinePassed):
            self.outcomes["late"] += 1
        else:
            self.wrong.append(f"{kind}: {error!r}")


def play(storm: Storm) -> list[Watched]:
    """All of it, checked; its engines."""
    engines = [engine for engine, _, _ in storm.models.values()]
    try:
        asyncio.run(storm.play())
    finally:
        storm.batcher.close()
    assert not storm.wrong, storm.wrong[:5]
    assert not any(engine.twice for engine in engines)
    assert storm.settled == dict.fromkeys(range(REQUESTS * len(AT_ONCE)), 1)
    return engines


@pytest.mark.parametrize("where", ["loop", "threads"])
@pytest.mark.parametrize("name", ENGINES)
def test_whatever_comes_at_once_each_request_is_settled_once_and_with_its_own_pictures(
    name, where, monkeypatch
):
    monkeypatch.setattr(scheduler, "QUICK_SECONDS", inf if where == "loop" else 0.0)
    storm = Storm(name, random.Random(0))
    engines = play(storm)
    assert storm.outcomes["answered"] > REQUESTS / 2
    assert storm.outcomes["cancelled"] > 0
    ran = [one for engine in engines for one in engine.ran]
    threads = {one.thread for one in ran}
    assert threads - {"MainThread"} == {f"lane-{lane}" for lane in range(LANES)}
    assert ("MainThread" in threads) == (where == "loop")


@pytest.mark.parametrize("where", ["loop", "threads"])
def test_models_of_one_two_and_three_lanes_side_by_side_enter_none_of_them_twice(where, monkeypatch):
    monkeypatch.setattr(scheduler, "QUICK_SECONDS", inf if where == "loop" else 0.0)
    storm = Storm("fake", random.Random(0), lanes=(1, 2, 3))
    for engine, _, _ in storm.models.values():
        monkeypatch.setattr(engine, "wide", engine.lanes[0])  # as on a GPU
    assert all(engine.ran for engine in play(storm))


@pytest.mark.parametrize("where", ["loop", "threads"])
@pytest.mark.parametrize("name", ENGINES)
def test_a_lone_pass_and_a_full_one_at_once_draw_what_each_was_asked_for(name, where, monkeypatch):
    monkeypatch.setattr(scheduler, "QUICK_SECONDS", inf if where == "loop" else 0.0)
    storm = Storm(name, random.Random(0), ("slow", "slow too"))
    lone, full = storm.models.values()

    def was_at_once() -> bool:
        return any(one.images == 1 and FULL in one.beside for one in lone[0].ran) or any(
            one.images == FULL and 1 in one.beside for one in full[0].ran
        )

    async def play() -> None:
        for turn in count():
            asked = [storm.answer(kind, range(first, first + n)) for kind, first, n in ROUND[:: (-1) ** turn]]
            await asyncio.gather(*asked)
            if was_at_once():
                return
            assert turn < MOST_ROUNDS

    try:
        asyncio.run(play())
    finally:
        storm.batcher.close()
    assert not storm.wrong, storm.wrong[:5]
    assert not lone[0].twice + full[0].twice


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_shipped_model_draws_the_same_alone_and_in_batches_on_all_lanes_at_once(path, name):
    contract, engine = parse(path.read_bytes()), made(name, path.read_bytes())
    alone = np.concatenate([engine.wide(*inputs(contract, seed, 1)) for seed in range(SEEDS)])

    def in_batches(lane: int, size: int) -> NDArray[np.uint8]:
        starts = range(0, SEEDS, size)
        return np.concatenate([engine.lanes[lane](*inputs(contract, start, size)) for start in starts])

    with ThreadPoolExecutor(LANES) as pool:
        for sizes in ((8, 64), (2, 32)):
            for size, images in zip(sizes, pool.map(in_batches, range(LANES), sizes), strict=True):
                np.testing.assert_array_equal(images, alone, err_msg=f"in batches of {size}")
    np.testing.assert_array_equal(engine.wide(*inputs(contract, 0, 16)), alone[:16])
