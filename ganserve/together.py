"""The same work on many items at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

NAME = "ganserve-together"
"""Of the threads."""

T = TypeVar("T")
R = TypeVar("R")


def together(work: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[tuple[T, R]]:
    """Each item with its result, as they are done. The first failure is raised, and no item is begun after it.

    Not concurrent.futures: its threads are waited for at exit, so that Ctrl-C would end nothing before the
    last of them has its answer. These are left behind.
    """
    todo: SimpleQueue[T] = SimpleQueue()
    done: SimpleQueue[tuple[Any, Any, BaseException | None]] = SimpleQueue()
    stopped = threading.Event()
    for item in items:
        todo.put(item)

    def run() -> None:
        while not stopped.is_set():
            try:
                item = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((item, work(item), None))
            except BaseException as error:
                done.put((item, None, error))
                return

    for _ in range(min(threads, len(items))):
        threading.Thread(target=run, daemon=True, name=NAME).start()
    try:
        for _ in items:
            item, result, error = done.get()
            if error is not None:
                raise error
            yield item, result
    finally:
        stopped.set()
