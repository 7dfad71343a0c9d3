"""Work of several threads at once, taken in the order of what was worked on, and never far ahead of who takes it."""

import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from ganserve.together import NAME

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int
) -> Generator[tuple[T, R], None, None]:
    """Each item with its result. ahead: most items that are worked on or done, and not taken yet.

    The first failure is raised in its place. Threads end once the iterator is closed, each after what it is at.
    """
    lock = threading.Condition()
    todo = iter(items)
    done: dict[int, tuple[T, R | None, BaseException | None]] = {}
    begun = taken = 0
    ended = False

    def run() -> None:
        nonlocal begun, ended
        while True:
            with lock:
                while not ended and begun - taken >= ahead:
                    lock.wait()
                if ended:
                    return
                try:
                    item = next(todo)
                except StopIteration:
                    ended = True
                    lock.notify_all()
                    return
                number, begun = begun, begun + 1
            try:
                outcome = item, work(item), None
            except BaseException as error:
                outcome = item, None, error
            with lock:
                done[number] = outcome
                lock.notify_all()

    workers = [threading.Thread(target=run, daemon=True, name=NAME) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        while True:
            with lock:
                while taken not in done and not (ended and taken == begun):
                    lock.wait()
                if taken not in done:
                    return
                item, result, error = done.pop(taken)
                taken += 1
                lock.notify_all()
            if error is not None:
                raise error
            yield item, result  # pyright: ignore[reportReturnType]
    finally:
        with lock:
            ended = True
            lock.notify_all()
        for worker in workers:
            worker.join()
