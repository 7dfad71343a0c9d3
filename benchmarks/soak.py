"""python -m benchmarks.soak --minutes 20: every route and kind of client for as long as asked, and what has grown meanwhile.

Without --url a server of its own is started, with the shipped model and one of next to no arithmetic.
"""

import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import click
import numpy as np
import psutil

from benchmarks import models
from benchmarks.clients.exchanges import EXCHANGES, HEAD, NUISANCES, REFERENCE, SAME, SAMPLES, Exchange
from benchmarks.server import machine, running
from benchmarks.server.servers import ONE_WORKER, ONNXRUNTIME, environment

TICK_SECONDS = 5.0
TELL_SECONDS = 60.0
REFUSED = 429
_SITS_SECONDS = 40.0
_TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass
class Tick:
    """How the server stood at some moment."""

    at: float
    memory_mb: float
    descriptors: int
    threads: int


@dataclass
class Soak:
    """What is asked of a server, and what came of it."""

    url: str
    seconds: float
    pace: float
    pids: list[int]
    model: str = ""
    other: str = ""
    begun: float = field(default_factory=time.monotonic)
    latencies: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By exchange: when, and seconds."""
    errors: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    ticks: list[Tick] = field(default_factory=list)
    seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1, 1000))
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=_TIMEOUT) as session:
            async with session.get("/v1/models") as reply:
                cards = [card for card in (await reply.json())["data"] if card["state"] == "ready"]
            # Of the first, classes are asked for.
            self.model = next(card["id"] for card in cards if card["classes"])
            self.other = cards[-1]["id"]
            end = self.begun + self.seconds
            async with asyncio.TaskGroup() as group:
                for exchange in EXCHANGES:
                    group.create_task(self._visit(session, exchange, end))
                for name, sent in NUISANCES.items():
                    group.create_task(self._annoy(name, sent, end))
                group.create_task(self._compare(session, end))
                group.create_task(self._watch(end))

    async def _visit(self, session: aiohttp.ClientSession, exchange: Exchange, end: float) -> None:
        """Requests at random moments, so many a second, each on its own."""
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) < end:
                group.create_task(self._ask(session, exchange, now))
                await asyncio.sleep(self.rng.expovariate(exchange.per_second * self.pace))

    async def _ask(self, session: aiohttp.ClientSession, exchange: Exchange, due: float) -> None:
        seed = next(self.seeds)
        path = exchange.path.format(seed=seed, model=self.model)
        options = exchange.request(seed)
        if options.get("json", {}).get("model"):
            options["json"]["model"] = self.other
        try:
            async with session.request(exchange.method, path, **options) as reply:
                body = await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.errors[f"{exchange.name}: {type(error).__name__}"] += 1
            return
        if reply.status == exchange.status:
            self.latencies[exchange.name].append((due - self.begun, time.monotonic() - due))
        elif reply.status == REFUSED:
            self.refused += 1
        else:
            self.errors[f"{exchange.name}: {reply.status} {body[:200]!r}"] += 1

    async def _compare(self, session: aiohttp.ClientSession, end: float) -> None:
        """The same request must give the same bytes, whatever else is asked."""
        first = b""
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(SAMPLES, json=SAME) as reply:
                    body = await reply.read()
                if reply.status == 200:
                    first = first or body
                    self.errors["the same seeds gave other bytes"] += body != first
            await asyncio.sleep(1)

    async def _annoy(self, name: str, sent: bytes | None, end: float) -> None:
        """Connections that come to nothing; each is given up after a while, if the server has not done that."""
        while time.monotonic() < end:
            # The server may well reset it, or give up first.
            with contextlib.suppress(OSError, TimeoutError):
                await self._sit(name, sent, min(_SITS_SECONDS, end - time.monotonic()))
            await asyncio.sleep(0.5)

    async def _sit(self, name: str, sent: bytes | None, seconds: float) -> None:
        url = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
        try:
            writer.write(HEAD[:-5] if sent is None else HEAD + sent if sent else b"")
            await writer.drain()
            if name != "leaves":
                async with asyncio.timeout(seconds):
                    await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def _watch(self, end: float) -> None:
        told = self.begun
        while (now := time.monotonic()) < end:
            if self.pids:
                self.ticks.append(await asyncio.to_thread(measured, self.pids, now - self.begun))
            if now - told >= TELL_SECONDS:
                self._tell(told - self.begun, now - self.begun)
                told = now
            await asyncio.sleep(TICK_SECONDS)

    def _tell(self, since: float, until: float) -> None:
        seconds = self.between(REFERENCE.name, since, until)
        tick = self.ticks[-1] if self.ticks else None
        stands = f", {tick.memory_mb:.0f} MB, {tick.descriptors} fds, {tick.threads} threads" if tick else ""
        p99 = f"{1000 * np.quantile(seconds, 0.99):.1f}" if seconds else "-"
        click.echo(
            f"{until / 60:5.1f} min: {sum(map(len, self.latencies.values()))} answers, {self.errors.total()} errors, "
            f"{self.refused} refused, p99 of {REFERENCE.name} {p99} ms{stands}"
        )

    def between(self, name: str, since: float, until: float) -> list[float]:
        return [seconds for at, seconds in self.latencies[name] if since <= at < until]


def measured(pids: list[int], at: float) -> Tick:
    """All these processes together."""
    processes = [psutil.Process(pid) for pid in pids]
    return Tick(
        at,
        sum(one.memory_info().rss for one in processes) / 1e6,
        sum(one.num_fds() for one in processes),
        sum(one.num_threads() for one in processes),
    )


def report(soak: Soak) -> tuple[str, bool]:
    """As Markdown; and whether nothing went wrong and nothing grew."""
    third = soak.seconds / 3
    rows = [
        "| exchange | answers | p50 ms | p99 ms, first third | last third |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for exchange in EXCHANGES:
        all_of_it, first, last = (
            soak.between(exchange.name, *span)
            for span in ((0, soak.seconds), (0, third), (2 * third, soak.seconds))
        )
        figures = [
            f"{1000 * np.quantile(part, level):.1f}" if part else "-"
            for part, level in ((all_of_it, 0.5), (first, 0.99), (last, 0.99))
        ]
        rows.append(f"| {exchange.name} | {len(all_of_it)} | {' | '.join(figures)} |")
    facts = [
        f"{soak.seconds / 60:.1f} minutes, {machine.cpu_name()}, load average {machine.facts()['load_average']}.",
        f"{sum(map(len, soak.latencies.values()))} answers, {soak.refused} refused, {soak.errors.total()} errors.",
    ]
    facts += [f"- {text}: {count}" for text, count in soak.errors.most_common(20) if count]
    good = soak.errors.total() == 0
    settled = [tick for tick in soak.ticks if tick.at > third]
    if len(settled) > 2:
        slope = float(np.polyfit([t.at for t in settled], [t.memory_mb for t in settled], 1)[0])
        first, last = settled[0], settled[-1]
        facts.append(
            f"After the first third: memory {first.memory_mb:.0f} -> {last.memory_mb:.0f} MB ({3600 * slope:+.1f} MB/h), "
            f"file descriptors {first.descriptors} -> {last.descriptors}, threads {first.threads} -> {last.threads}."
        )
        # What this load itself holds open comes and goes.
        good &= last.threads <= first.threads + 2 and last.descriptors <= first.descriptors + 50
        good &= slope * (last.at - first.at) < 10
    return "\n".join([*facts, "", *rows, ""]), good


@contextmanager
def own_server() -> Iterator[tuple[str, list[int]]]:
    """Its URL and its processes."""
    with running.scratch() as folder:
        port = running.free_port()
        for name in (models.SHIPPED, "instant"):
            written = models.write(name, folder / name)
            target = folder / "models" / name / written.name
            target.parent.mkdir(parents=True)
            written.rename(target)
        environ = environment(ONE_WORKER, target, ONNXRUNTIME, 0, 0, port, folder)
        with running.running(ONE_WORKER.start(port), environ, port, folder) as server:
            yield server.url, [one.pid for one in server.tree()]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=20.0, show_default=True)
@click.option("--url", default="", help="A server that runs; by default one is started.")
@click.option(
    "--pid", "pids", multiple=True, type=int, help="Its processes, if it runs here: for memory and the like."
)
@click.option("--pace", default=1.0, show_default=True, help="Times some 35 requests a second.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the report there.")
def main(minutes: float, url: str, pids: tuple[int, ...], pace: float, out: Path | None) -> None:
    """Every route and kind of client for so many minutes. Ends with 1 if something went wrong or has grown."""
    server = contextlib.nullcontext((url, list(pids))) if url else own_server()
    with server as (address, processes):
        soak = Soak(address, 60 * minutes, pace, processes)
        asyncio.run(soak.run())
    text, good = report(soak)
    click.echo(text)
    if out is not None:
        out.write_text(text)
    sys.exit(not good)


if __name__ == "__main__":
    main()
