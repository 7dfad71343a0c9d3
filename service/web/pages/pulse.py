"""GET /playground/pulse: what the service does, once a second, as server-sent events; one source for all pages that are open."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import msgspec
from msgspec import Struct

from service import metrics
from service.metrics import Totals
from service.web.http.asgi import Call, Streamed
from service.web.http.route import EVENTS, Answer, Event, Route

BEAT_SECONDS = 1.0


class Beat(Struct):
    """Of all workers and models, since the beat before. rate: images a second; batch: images a pass, if there was one."""

    rate: float
    batch: float | None
    queue: int


class Pulse:
    """Of one worker: it looks while somebody listens."""

    def __init__(self, beat_seconds: float = BEAT_SECONDS) -> None:
        self._beat_seconds = beat_seconds
        self._listeners: set[asyncio.Queue[bytes]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def beats(self, ends: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        mine: asyncio.Queue[bytes] = asyncio.Queue(2)
        self._listeners.add(mine)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            while not ends():
                yield await mine.get()
        finally:
            self._listeners.discard(mine)

    async def _look(self) -> None:
        try:
            last, at = await asyncio.to_thread(metrics.totals), time.monotonic()
            while self._listeners:
                await asyncio.sleep(self._beat_seconds)
                now, seconds = await asyncio.to_thread(metrics.totals), time.monotonic() - at
                event = b"data: %b\n\n" % msgspec.json.encode(_between(last, now, seconds))
                for listener in self._listeners:
                    if not listener.full():  # else its page is asleep
                        listener.put_nowait(event)
                last, at = now, at + seconds
        finally:
            self._looking = None


def _between(last: Totals, now: Totals, seconds: float) -> Beat:
    # A worker that was started again counts from nought.
    images, passes = max(0.0, now.images - last.images), max(0.0, now.passes - last.passes)
    return Beat(round(images / seconds, 1), round(images / passes, 2) if passes else None, now.queue)


_pulse = Pulse()
PULSE = "/playground/pulse"


async def get_pulse(call: Call) -> Streamed:
    """GET /playground/pulse."""
    return Streamed(EVENTS, _pulse.beats(call.is_draining), {"cache-control": "no-store"}, endless=True)


ROUTES = [
    Route(
        *("GET", PULSE, get_pulse, "metrics"),
        "What the service does, once a second",
        {
            200: Answer(
                "Server-sent events: `rate` (images a second), `batch` (images a pass), `queue` (images waiting).",
                {EVENTS: Event},
            )
        },
        text="For the playground; `/metrics` has it all.",
    ),
]
