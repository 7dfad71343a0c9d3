"""Load on a running server, and how long it takes to answer.

Closed loop: each connection asks again as soon as it is answered, as a batch job does. A server that stalls is
asked less meanwhile, so its stall is hardly seen.
Open loop: requests are due at a steady rate, as those of many people are, whatever the server does. A latency
counts from the moment that its request was due, also where no connection was free then: a stall delays all that
were due in it (Tene's "coordinated omission"). Up to a millisecond of it is the timer of this process.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganserve.connection import Answer, Broken, Connection
from ganserve.errors import refusal
from ganserve.server import Server

PATH = "/v1/samples"
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
_TELL_SECONDS = 0.25
_AFTER_BROKEN_SECONDS = 0.1  # a server that is gone is not asked thousands of times a second


@dataclass(frozen=True)
class Plan:
    """What is asked, how often, and for how long."""

    server: Server
    fields: dict[str, Any]
    """Of every request, `n` included; the seed differs."""
    connections: int
    seconds: float
    rate: float | None
    """Requests a second in an open loop; None for a closed one."""
    seed: int = 0


@dataclass
class Result:
    """What the clients saw; latencies in seconds, of the requests that were answered with images."""

    seconds: float = 0.0
    """From the first request that was due to the last answer."""
    images: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    """The server's code, `unreachable`, `timeout` or `unexpected_answer` -> how often."""

    @property
    def requests(self) -> int:
        return len(self.latencies) + sum(self.errors.values())

    def percentiles(self) -> dict[str, float | None]:
        """Milliseconds by name, each the latency of a request that there was."""
        if not self.latencies:
            return dict.fromkeys(PERCENTILES)
        levels = np.percentile(self.latencies, list(PERCENTILES.values()), method="inverted_cdf")
        return dict(zip(PERCENTILES, (levels * 1000).tolist(), strict=True))

    def per_second(self, count: int) -> float:
        return count / self.seconds if self.seconds else 0.0


def load(plan: Plan, tell: Callable[[float, Result], None]) -> Result:
    """Run it. tell: called a few times a second with the seconds since the start and the result so far."""
    return asyncio.run(_load(plan, tell))


def facts(plan: Plan, result: Result, model: str) -> dict[str, Any]:
    """What was asked and what came of it, as JSON has it."""
    return {
        "url": str(plan.server.url),
        "model": model,
        "loop": "closed" if plan.rate is None else "open",
        "connections": plan.connections,
        "rate": plan.rate,
        "n": plan.fields["n"],
        "format": plan.fields["format"],
        "seconds": result.seconds,
        "requests": result.requests,
        "answered": len(result.latencies),
        "images": result.images,
        "requests_per_second": result.per_second(len(result.latencies)),
        "images_per_second": result.per_second(result.images),
        "latency_ms": result.percentiles(),
        "errors": dict(result.errors.most_common()),
    }


async def _load(plan: Plan, tell: Callable[[float, Result], None]) -> Result:
    one = _Load(plan)
    connections = [Connection(plan.server.url, PATH, plan.server.headers) for _ in range(plan.connections)]
    # Before the clock starts: a handshake is no latency of a request. One that fails is counted as a request's.
    await asyncio.gather(*(connection.open() for connection in connections), return_exceptions=True)
    one.begun = time.monotonic()

    async def telling() -> None:
        while True:
            tell(time.monotonic() - one.begun, one.result)
            await asyncio.sleep(_TELL_SECONDS)

    teller = asyncio.create_task(telling())
    try:
        if plan.rate is None:
            await one.closed(connections)
        else:
            await one.open(connections, plan.rate)
    finally:
        teller.cancel()
        for connection in connections:
            connection.close()
    one.result.seconds = max(one.ended - one.begun, 0.0)
    tell(plan.seconds, one.result)
    return one.result


class _Load:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.result = Result()
        self.begun = self.ended = 0.0
        self._seed = plan.seed
        self._start = json.dumps(plan.fields)[:-1].encode() + b', "seed": '

    async def closed(self, connections: list[Connection]) -> None:
        end = self.begun + self.plan.seconds

        async def ask_again(connection: Connection) -> None:
            while (now := time.monotonic()) < end:
                if not await self._ask(connection, now):
                    await asyncio.sleep(_AFTER_BROKEN_SECONDS)

        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(ask_again(connection))

    async def open(self, connections: list[Connection], rate: float) -> None:
        idle, waiting = list(connections), deque[float]()

        async def ask_from(connection: Connection, due: float) -> None:
            await self._ask(connection, due)
            while waiting:
                await self._ask(connection, waiting.popleft())
            idle.append(connection)

        async with asyncio.TaskGroup() as group:
            for k in range(max(1, round(rate * self.plan.seconds))):
                due = self.begun + k / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if idle:
                    # The one that was used last: one that rests is closed by the server, and would be made anew.
                    group.create_task(ask_from(idle.pop(), due))
                else:
                    waiting.append(due)

    async def _ask(self, connection: Connection, due: float) -> bool:
        """One request, counted; whether there was an answer to it."""
        body = b"%b%d}" % (self._start, self._seed)
        self._seed += self.plan.fields["n"]
        left = due + self.plan.server.timeout - time.monotonic()
        try:
            # What waited for a connection until its time was up is not sent any more, so that a run has an end.
            if left <= 0:
                raise TimeoutError
            async with asyncio.timeout(left):
                code = _code(await connection.exchange(body))
        except TimeoutError:
            code = "timeout"
        except Broken:
            code = "unreachable"
        except ValueError:
            code = "unexpected_answer"
        self.ended = time.monotonic()
        if code is None:
            self.result.latencies.append(self.ended - due)
            self.result.images += self.plan.fields["n"]
        else:
            self.result.errors[code] += 1
        return code not in ("unreachable", "unexpected_answer")


def _code(answer: Answer) -> str | None:
    if answer.status == 200:
        return None if "ganserve-model" in answer.headers else "unexpected_answer"
    return refusal(answer.status, answer.headers, answer.body).code
