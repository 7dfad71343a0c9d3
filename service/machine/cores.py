"""The cores that the workers of this service share: an idle worker's are the others' to use.

A file holds one byte per worker, the passes that it runs. Not by mmap: on a full disk the first touch of a page that
has no block ends the process.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger("bentoml.ganserve.cores")

_FILE = "running"
_MOST = 255


class Cores:
    """How many more passes a worker may begin. A hint: two that look at the same moment may both begin one."""

    def __init__(self, count: int, workers: int = 1, worker: int = 0, shared: Path | None = None) -> None:
        """count: cores of all workers together. worker: which of them this is, from 0. shared: their folder, if there is one."""
        self._count = count
        self.own = max(1, count // workers)
        """Those that no other worker has a claim to."""
        self._workers = workers
        self._worker = worker
        self._file: int | None = None
        if workers > 1 and shared is not None:
            try:
                shared.mkdir(parents=True, exist_ok=True)
                self._file = os.open(shared / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                os.pwrite(self._file, b"\0", worker)  # what it was before it was started anew
            except OSError as error:
                log.warning(
                    "workers do not see each other's passes: %s", error, extra={"event": "cores_unshared"}
                )

    def note(self, running: int) -> None:
        """This worker runs so many passes now."""
        if self._file is not None:
            os.pwrite(self._file, bytes((min(running, _MOST),)), self._worker)

    def idle(self, running: int) -> int:
        """Cores that nobody uses, where this worker runs so many passes."""
        others = 0
        if self._file is not None:
            passes = os.pread(self._file, self._workers, 0)
            others = sum(passes) - sum(passes[self._worker : self._worker + 1])
        return self._count - running - others
