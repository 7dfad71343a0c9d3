"""Ctrl-C, heeded whenever it comes.

Python notes a signal, and raises KeyboardInterrupt before its next step. One that comes after the last look and before the
main thread blocks in a system call interrupts no call: it would wait for the end of that call, which may be a minute away.
"""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN_SECONDS = 0.02


@contextmanager
def heeded() -> Iterator[None]:
    """A block in which SIGINT raises KeyboardInterrupt at once; in the main thread, and where there is POSIX."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_kill"):
        yield
        return
    ended, main = threading.Event(), threading.get_ident()
    ours, noted = socket.socketpair()  # Python's own handler, which runs at once, writes to it
    noted.setblocking(False)

    def interrupt_calls() -> None:
        while number := ours.recv(1):
            if number[0] == signal.SIGINT:
                # Again and again, as this one could come too early just as well.
                while not ended.wait(_AGAIN_SECONDS):
                    signal.pthread_kill(main, signal.SIGURG)

    # A signal that does nothing, with or without a handler; but with one it interrupts calls.
    before = signal.signal(signal.SIGURG, lambda *_: None)
    descriptor = signal.set_wakeup_fd(noted.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=interrupt_calls, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(descriptor)
        noted.close()
        thread.join()
        ours.close()
        signal.signal(signal.SIGURG, before)
