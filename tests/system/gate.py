"""A pass of the fake engine that waits for a test: what it asks what to do is a pipe, from which it hears nothing yet."""

import errno
import os
from pathlib import Path


class Gate:
    """Stands in for a server's GANSERVE_FAKE_FAULTS. For one lane that is a thread: the server loads with 0.02 seconds a pass."""

    def __init__(self, faults: Path) -> None:
        self._faults = faults
        self._pipe = -1

    def close(self) -> None:
        """The next pass waits in the engine."""
        pipe = self._faults.with_suffix(".pipe")
        os.mkfifo(pipe)
        pipe.replace(self._faults)

    def is_reached(self) -> bool:
        """Whether a pass waits. It is asked until one does, and no more."""
        try:
            self._pipe = os.open(self._faults, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
            return False
        return True

    def open(self, order: str, then: str | None = None) -> None:
        """The pass that waits obeys `order`, those that come later `then`; None: there is no file any more."""
        if then is None:
            self._faults.unlink()
        else:
            new = self._faults.with_suffix(".new")
            new.write_text(then)
            new.replace(self._faults)
        os.write(self._pipe, order.encode())
        os.close(self._pipe)
