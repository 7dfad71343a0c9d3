"""Ends a process that hangs, so that whoever started it starts it anew.

A forward pass that does not come back, or an event loop that does not turn (quick models' passes run on it), can't
be mended from inside. Waiting requests have their deadlines meanwhile, as long as the event loop turns.
"""

import asyncio
import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from math import inf

from service.batching.forward_pass import Pass
from service.machine import instance, logs

log = logging.getLogger("bentoml.ganserve.watchdog")

_MOST_BETWEEN_LOOKS_SECONDS = 1.0
_LAST_RESORT_SECONDS = 2.0
"""What is to be over by then has so long for it."""


class Watchdog(threading.Thread):
    """Looks once a second how long the event loop and the passes have been at what they are at."""

    def __init__(
        self, seconds: float, loop: asyncio.AbstractEventLoop, passes: Callable[[], Sequence[Pass]]
    ) -> None:
        """seconds: how long a pass, or a turn of the loop, may take; infinite: any time."""
        super().__init__(name="watchdog", daemon=True)
        self._seconds = seconds
        self._loop = loop
        self._passes = passes
        self._asked_at: float | None = None
        """When the event loop was asked to turn, and has not."""
        self._ends_at = inf
        self._warned = False

    def end_within(self, seconds: float) -> None:
        """The process is to be over by then, whatever it waits for."""
        self._ends_at = min(self._ends_at, time.monotonic() + seconds)

    def run(self) -> None:
        between = min(_MOST_BETWEEN_LOOKS_SECONDS, self._seconds / 4)
        looked = resumed = time.monotonic()
        while True:
            now = time.monotonic()
            # Not looked for so long: this process stood still, stopped or with its machine, and nothing in it hung.
            if now - looked > between + self._seconds / 4:
                resumed = now
            looked = now
            what, since = self._oldest(now)
            since = max(since, resumed)
            longest, to_end = self._seconds - (now - since), self._ends_at - now
            left = min(longest, to_end)
            if left <= 0:
                self._end(what if now < self._ends_at else "It was to be over by now")
            elif what and now - since > self._seconds / 2 and not self._warned:
                log.warning(
                    *("%s for %.1f s; past %g s this process ends", what, now - since, self._seconds),
                    extra={"event": "watchdog_warns"},
                )
            self._warned = bool(what) and now - since > self._seconds / 2
            # This thread needs the interpreter's lock, which what hangs may hold; faulthandler's own does not. It can't tell a hang
            # from a machine that stood still, so it waits for twice as long.
            if (last := min(longest + self._seconds, to_end + _LAST_RESORT_SECONDS)) < inf:
                faulthandler.dump_traceback_later(last, exit=True)
            time.sleep(min(between, left))

    def _oldest(self, now: float) -> tuple[str, float]:
        """What has been going on for longest, and since when."""
        found = [(one.began, f"A forward pass of {one.model} runs") for one in self._passes()]
        if self._asked_at is None:
            self._asked_at = now
            try:
                self._loop.call_soon_threadsafe(self._turned)
            except RuntimeError:  # it has ended, and the process is about to
                self._asked_at = None
        else:
            found.append((self._asked_at, "The event loop does not turn"))
        since, what = min(found, default=(now, ""))
        return what, since

    def _turned(self) -> None:
        self._asked_at = None

    def _end(self, why: str) -> None:
        log.critical(
            "%s: this process ends", why, extra={"event": "watchdog_ends", "threads": logs.threads()}
        )
        instance.note_end()
        os._exit(1)
