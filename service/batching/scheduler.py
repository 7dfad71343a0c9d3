"""Whose turn it is on the lanes of one device, how much of it, and who runs it. No threads, no lock, no clock of its own."""

from collections.abc import Sequence
from heapq import heappop, heappush
from math import ceil, inf
from operator import attrgetter

from service.batching.forward_pass import Line
from service.batching.request_queue import Request

QUICK_SECONDS = 0.015  # a pass that takes no longer may hold up the event loop
BACKLOG_PASSES = 2  # as large as the event loop's may be; where more wait, threads run them all
LEAST_SHARE = 4  # images; fewer are not worth a second lane
WAKING_SECONDS = 0.001  # a pass that takes less is over before another thread, woken for it, has begun

_QUEUE = attrgetter("queue")  # without a generator: this is looked at some times for each request


class Scheduler:
    """Models that have work get lanes by turns, each as long as the others: a model whose passes are long has fewer."""

    def __init__(self, lanes_encode: bool) -> None:
        """lanes_encode: whether a lane makes answers of what it computed."""
        self.loop_is_lane = False
        """Whether the event loop's thread runs passes."""
        self.loop_is_alone = False
        """Whether no other thread does."""
        self._lanes_encode = lanes_encode
        self._lines: list[Line] = []
        self._now = 0.0
        """Of the clock that lines' `turn` is on: where the line stood that was taken last."""

    def add(self, line: Line) -> None:
        self._lines.append(line)
        self._choose_who_runs()

    def remove(self, line: Line) -> None:
        self._lines.remove(line)
        self._choose_who_runs()

    def append(self, line: Line, request: Request) -> None:
        if not line.queue:  # what it did not use while it had nothing to do is not saved up
            line.turn = max(line.turn, self._now)
        line.queue.append(request)
        line.queue_images.set(line.queue.waiting_images)

    def begin(self, line: Line) -> int:
        """It gets its turn, and is charged for a full pass in advance. Returns the lane that it has for it."""
        self._now = line.turn
        line.charge(line.full_pass_seconds)
        return heappop(line.free_lanes)

    def end(self, line: Line, lane: int) -> None:
        """The pass on that lane is over, and charged for."""
        if not line.free_lanes:  # what it could not use because it had all its lanes is not saved up
            line.turn = max(line.turn, self._now)
        heappush(line.free_lanes, lane)

    @property
    def has_work(self) -> bool:
        return any(map(_QUEUE, self._lines))

    def waiting(self) -> list[Line]:
        """The lines that have work, and a lane for it."""
        return [line for line in self._lines if line.queue and line.free_lanes]

    def has_backlog(self) -> bool:
        """Whether so much waits that a thread's passes are full, and worth waking it.

        At ten times the capacity of the shipped model, requests for 16 images, passes on the event loop made
        a refusal take 30 ms at the median, and goodput was two thirds of what it is without (two cores).
        """
        return not self.loop_is_alone and any(
            line.queue.waiting_images > BACKLOG_PASSES * line.images_within(QUICK_SECONDS)
            for line in self._lines
        )

    def _choose_who_runs(self) -> None:
        slowest = max((line.pass_seconds for line in self._lines), default=inf)
        pieces = max((line.piece_seconds for line in self._lines), default=inf)
        self.loop_is_lane = self._lanes_encode and pieces <= QUICK_SECONDS
        self.loop_is_alone = self.loop_is_lane and slowest < WAKING_SECONDS


def next_of(waiting: Sequence[Line]) -> Line:
    """Whose turn it is: who was charged for least."""
    return min(waiting, key=lambda line: line.turn)


def share(line: Line, lanes: int) -> int:
    """Images that a pass takes where so many lanes are free for this line: cores that compute nothing cost more than a smaller pass."""
    if lanes <= 1:
        return line.queue.max_batch
    least = max(LEAST_SHARE, line.images_within(WAKING_SECONDS))
    return max(least, ceil(line.queue.waiting_images / lanes))
