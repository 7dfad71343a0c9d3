"""The machine's network interfaces, which containers change, and under which a browser drops all that it is loading.

Chromium calls that ERR_NETWORK_CHANGED, of its own machine's addresses too. So of the processes that run tests at once, those with
a browser and those with containers wait for each other.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = Path(tempfile.gettempdir()) / f"ganserve-tests-interfaces-{os.getuid()}"


@contextmanager
def unchanged() -> Iterator[None]:
    """No test changes them meanwhile."""
    with _locked(fcntl.LOCK_SH):
        yield


@contextmanager
def changing() -> Iterator[None]:
    """No test needs them unchanged meanwhile."""
    with _locked(fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(how: int) -> Iterator[None]:
    with _LOCK.open("a") as file:
        fcntl.flock(file, how)  # until the file is closed
        yield
