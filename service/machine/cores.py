"""The cores that the workers of this service share: an idle worker's are the others' to use.

A file holds a record per worker: when it last had work, and the passes that it runs. Not by mmap: on a full disk the first
touch of a page that has no block ends the process.
"""

import logging
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("bentoml.ganserve.cores")

_FILE = "running"
_RECORD = struct.Struct("<dB")
_MOST = 255
RECENT_SECONDS = 0.01
"""Who had work so lately will have some again before a borrowed pass is over, and keeps a core. Else two workers under load run
three passes on two cores between each other's."""


class Cores:
    """How many more passes a worker may begin. A hint: two that look at the same moment may both begin one."""

    def __init__(
        self,
        count: int,
        workers: int = 1,
        worker: int = 0,
        shared: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """count: cores of all workers together. worker: which of them this is, from 0. shared: their folder, if there is one."""
        self._clock = clock
        self._workers = workers
        self._count = 0
        self.be_at_least(count)
        self._worker = worker
        self._file: int | None = None
        if workers > 1 and shared is not None:
            try:
                shared.mkdir(parents=True, exist_ok=True)
                self._file = os.open(shared / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._write(0, 0)  # whatever it was before it was started anew
            except OSError as error:
                log.warning(
                    "workers do not see each other's passes: %s", error, extra={"event": "cores_unshared"}
                )

    def be_at_least(self, count: int) -> None:
        """For lanes that are more than the cores, as on an accelerator or by an operator's will."""
        self._count = max(self._count, count)
        self.own = max(1, self._count // self._workers)
        """Those that no other worker has a claim to."""

    def note(self, running: int) -> None:
        """This worker runs so many passes now."""
        if self._file is not None:
            self._write(self._clock(), running)

    def idle(self, running: int) -> int:
        """Cores that nobody uses, where this worker runs so many passes."""
        others = 0
        if self._file is not None:
            recent = self._clock() - RECENT_SECONDS
            records = os.pread(self._file, self._workers * _RECORD.size, 0)
            for worker in range(len(records) // _RECORD.size):
                if worker != self._worker:
                    last, passes = _RECORD.unpack_from(records, worker * _RECORD.size)
                    others += max(passes, last > recent)
        return self._count - running - others

    def _write(self, last: float, running: int) -> None:
        assert self._file is not None
        os.pwrite(self._file, _RECORD.pack(last, min(running, _MOST)), self._worker * _RECORD.size)
