"""A command whose stderr is a terminal."""

import os
import pty
import subprocess
from collections.abc import Callable
from threading import Thread
from typing import NamedTuple


class Ended(NamedTuple):
    shown: bytes
    """On the terminal."""
    stdout: bytes
    code: int


def on_a_terminal(start: Callable[..., subprocess.Popen[bytes]]) -> Ended:
    """start: is given `stdout` and `stderr`, as Popen takes them."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def look() -> None:
        try:
            while part := os.read(ours, 65536):
                shown.append(part)
        except OSError:  # the other end is closed
            pass

    looking = Thread(target=look)
    with start(stdout=subprocess.PIPE, stderr=theirs) as one:
        os.close(theirs)
        looking.start()
        stdout, _ = one.communicate(timeout=60)
    looking.join()
    os.close(ours)
    return Ended(b"".join(shown), stdout, one.returncode)
