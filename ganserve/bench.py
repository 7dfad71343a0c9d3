"""Load on a running server, and how long it takes to answer.

Closed loop: each connection asks again as soon as it is answered, as a batch job does. A server that stalls is
asked less meanwhile, so its stall is hardly seen.
Open loop: requests are due at a steady rate, as those of many people are, whatever the server does. A latency
counts from the moment that its request was due, also where no connection was free then: a stall delays all that
were due in it (Tene's "coordinated omission"). Up to a millisecond of it is the timer of this process.
"""

import asyncio
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganserve.connection import Answer, Broken, Connection, NotHttp
from ganserve.errors import GanserveError, refusal
from ganserve.server import Server

PATH = "/v1/samples"
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_CPU_SECONDS = re.compile(r"^ganserve_cpu_seconds_total (\S+)$", re.MULTILINE)
_TELL_SECONDS = 0.5
_AFTER_BROKEN_SECONDS = 0.1  # a server that is gone is not asked thousands of times a second


@dataclass
class Load:
    """What is asked, how often and for how long; and, once it runs, what came of it."""

    server: Server
    fields: dict[str, Any]
    """Of every request, `n` included; the seed differs."""
    connections: int
    seconds: float
    rate: float | None = None
    """Requests a second in an open loop; None for a closed one."""
    seed: int = 0

    latencies: list[float] = field(default_factory=list)
    """Seconds, of the requests that were answered with images."""
    errors: Counter[str] = field(default_factory=Counter)
    """The server's code, `unreachable`, `timeout` or `unexpected_answer` -> how often."""
    core_seconds: float | None = None
    """CPU time of the server's workers meanwhile; None where it does not say."""
    lasted_seconds: float = 0.0
    """From the first request that was due to the last answer, and `seconds` at least."""

    def run(self, tell: Callable[[float], None]) -> None:
        """tell: called now and then with the seconds since the start."""
        before = cpu_seconds(self.server)
        asyncio.run(self._run(tell))
        after = None if before is None else cpu_seconds(self.server)
        self.core_seconds = None if before is None or after is None else after - before

    @property
    def images(self) -> int:
        return len(self.latencies) * self.fields["n"]

    def facts(self) -> dict[str, Any]:
        """What was asked and what came of it, as JSON has it."""
        answered, lasted = len(self.latencies), self.lasted_seconds
        return {
            "url": str(self.server.url),
            "loop": "closed" if self.rate is None else "open",
            "connections": self.connections,
            "rate": self.rate,
            "n": self.fields["n"],
            "format": self.fields["format"],
            "seconds": lasted,
            "requests": answered + self.errors.total(),
            "answered": answered,
            "images": self.images,
            "requests_per_second": answered / lasted if lasted else 0.0,
            "images_per_second": self.images / lasted if lasted else 0.0,
            "images_per_core_second": self.images / self.core_seconds if self.core_seconds else None,
            "latency_ms": self.quantiles(),
            "errors": dict(self.errors.most_common()),
        }

    def quantiles(self) -> dict[str, float]:
        """Milliseconds by name, each the latency of a request that there was; none where nothing was answered."""
        if not self.latencies:
            return {}
        levels = np.quantile(self.latencies, list(_QUANTILES.values()), method="inverted_cdf")
        return dict(zip(_QUANTILES, (levels * 1000).tolist(), strict=True))

    async def _run(self, tell: Callable[[float], None]) -> None:
        connections = [
            Connection(self.server.url, PATH, self.server.headers) for _ in range(self.connections)
        ]
        # Before the clock starts: a handshake is no latency of a request. One that fails is counted as a request's.
        await asyncio.gather(*(connection.open() for connection in connections), return_exceptions=True)
        begun = time.monotonic()

        async def telling() -> None:
            while True:
                tell(time.monotonic() - begun)
                await asyncio.sleep(_TELL_SECONDS)

        teller = asyncio.create_task(telling())
        try:
            if self.rate is None:
                await self._closed(connections, begun)
            else:
                await self._open(connections, begun, self.rate)
        finally:
            teller.cancel()
            for connection in connections:
                connection.close()
        self.lasted_seconds = max(time.monotonic() - begun, self.seconds)

    async def _closed(self, connections: list[Connection], begun: float) -> None:
        async def ask_again(connection: Connection) -> None:
            while (now := time.monotonic()) < begun + self.seconds:
                if not await self._ask(connection, now):
                    await asyncio.sleep(_AFTER_BROKEN_SECONDS)

        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(ask_again(connection))

    async def _open(self, connections: list[Connection], begun: float, rate: float) -> None:
        idle, waiting = list(connections), deque[float]()

        async def ask_from(connection: Connection, due: float) -> None:
            await self._ask(connection, due)
            while waiting:
                await self._ask(connection, waiting.popleft())
            idle.append(connection)

        async with asyncio.TaskGroup() as group:
            for k in range(max(1, round(rate * self.seconds))):
                due = begun + k / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if idle:
                    # The one that was used last: one that rests is closed by the server, and would be made anew.
                    group.create_task(ask_from(idle.pop(), due))
                else:
                    waiting.append(due)

    async def _ask(self, connection: Connection, due: float) -> bool:
        """One request, counted; whether there was an answer to it."""
        body = json.dumps(self.fields | {"seed": self.seed}).encode()
        self.seed += self.fields["n"]
        try:
            # From when it was due too, so that a run has an end: one that waited behind another has little time left.
            async with asyncio.timeout(due + self.server.timeout - time.monotonic()):
                code = _code(await connection.exchange(body))
        except TimeoutError:
            code = "timeout"
        except Broken:
            code = "unreachable"
        except NotHttp:
            code = "unexpected_answer"
        if code is None:
            self.latencies.append(time.monotonic() - due)
        else:
            self.errors[code] += 1
        return code not in ("unreachable", "unexpected_answer")


def cpu_seconds(server: Server) -> float | None:
    """What the server's workers have used; None where this key may not know, or the server does not say."""
    try:
        text = server.ask("GET", "/metrics").text
    except GanserveError:
        return None
    found = _CPU_SECONDS.search(text)
    return float(found[1]) if found else None


def _code(answer: Answer) -> str | None:
    """None for images."""
    if answer.status == 200:
        return None if "ganserve-model" in answer.headers else "unexpected_answer"
    return refusal(answer.status, answer.headers, bytes(answer.body)).code
