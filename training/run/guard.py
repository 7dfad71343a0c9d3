"""A run's folder belongs to one process, which ends a step before it obeys a signal."""

import contextlib
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

from training.errors import UserError, refused
from training.processes import rank


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold the folder, so that a second `train` cannot write into the same run. Raises UserError.

    Of several processes the first one does so, which alone writes.
    """
    if rank() > 0:
        yield
        return
    with refused(f"--run {folder} cannot be written to", OSError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        try:
            # The kernel lets go of it whichever way the process ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another process is training in {folder}") from error
        yield


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C or SIGTERM comes, so that the update in hand can be finished."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        # The second one means now: the last checkpoint stands.
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
