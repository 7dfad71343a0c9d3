"""python -m benchmarks.overload: what is left of a server at ten times its capacity (`--times`), and what one client does to another.

Each row is a server of its own, with no settings. Peak: 64 clients that ask again as soon as they are answered. At capacity
and at several times that: requests that are due at that rate, whatever comes of the earlier
ones. The load comes from a process of its own on the same machine, takes its part of the cores, and may come to less.
"""

import http.client
import json
import multiprocessing
import statistics
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import models
from benchmarks.clients import flood
from benchmarks.server import machine, running
from benchmarks.server.servers import AS_IT_COMES, ONNXRUNTIME, environment
from service.settings import Settings
from service.web.connection.refusals import HOLD_SECONDS

MAX_WAIT_SECONDS = Settings().max_wait_seconds
MOST_CONNECTIONS = 4000
CLIENTS = 64
_SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Case:
    """A model, and what each request asks of it."""

    model: str
    n: int
    format: str
    pass_seconds: float = 0.0
    """On the fake engine, whose passes of eight images take so long and no core: whatever else the machine does."""

    @property
    def name(self) -> str:
        engine = f", {1000 * self.pass_seconds:.0f} ms of sleep a pass" if self.pass_seconds else ""
        return f"{self.model} n={self.n} {self.format}{engine}"

    @property
    def fields(self) -> str:
        return f'"n": {self.n}, "format": "{self.format}"'


CASES = [
    Case("fashion-mnist", 1, "png"),
    Case("fashion-mnist", 16, "npy"),
    Case("large", 4, "png"),
    Case("fashion-mnist", 4, "png", pass_seconds=0.04),
]


@dataclass
class Outcome:
    """What came of one load."""

    images_per_second: float
    images_per_cpu_second: float
    accepted_p99_seconds: float
    refusal_p50_seconds: float
    refused: int
    lost: int
    asked_per_second: float
    recovery_seconds: float
    memory_mb_per_minute: float


def loaded(
    server: running.Running, case: Case, rate: float | None, seconds: float, connections: int
) -> Outcome:
    """rate: requests a second; None: CLIENTS that ask on and on."""
    here, there = multiprocessing.Pipe()
    load = multiprocessing.get_context("spawn").Process(
        target=_offer, args=(there, server.port, case.fields, rate, seconds, connections)
    )
    load.start()
    here.recv()  # it begins
    cpu, begun = server.cpu_seconds(), time.monotonic()
    memory: list[tuple[float, float]] = []
    while time.monotonic() < begun + seconds:
        # Not PSS: to count it the kernel holds up whoever maps memory.
        memory.append((time.monotonic() - begun, sum(one.memory_info().rss for one in server.tree()) / 1e6))
        time.sleep(_SAMPLE_SECONDS)
    cpu = server.cpu_seconds() - cpu
    recovered_at = _recovered(server.port)
    came: flood.Flood = here.recv()
    load.join()
    late = [sample for sample in memory if sample[0] > seconds / 2] or memory
    slope = np.polyfit([at for at, _ in late], [mb for _, mb in late], 1)[0] if len(late) > 1 else 0.0
    half = came.ended - seconds / 2
    good = case.n * came.answered_in(200, half, came.ended) / (seconds / 2)
    return Outcome(
        images_per_second=good,
        images_per_cpu_second=case.n * came.answered_in(200, begun, begun + seconds) / cpu,
        accepted_p99_seconds=came.quantile(200, 0.99),
        refusal_p50_seconds=came.quantile(429, 0.5),
        refused=came.count(429),
        lost=len(came.statuses) - came.count(200) - came.count(429),
        asked_per_second=len(came.statuses) / seconds,
        recovery_seconds=max(0.0, recovered_at - came.ended),
        memory_mb_per_minute=60 * float(slope),
    )


def _offer(
    there: Connection, port: int, fields: str, rate: float | None, seconds: float, connections: int
) -> None:
    request = flood.samples(fields)
    there.send(
        flood.offer(
            port,
            request,
            rate=rate,
            seconds=seconds,
            connections=connections,
            on_begin=lambda: there.send(None),
        )
    )


def _recovered(port: int) -> float:
    """When a single image was answered as soon as the one after it, within a tenth: nothing waits any more."""
    while True:
        took = []
        for seed in range(3):
            begun = time.monotonic()
            status = single(port, {"seed": seed})
            took.append(time.monotonic() - begun)
            if status != 200:
                break
        else:
            if took[0] < 0.05 + 2 * min(took):
                return begun
        time.sleep(0.005)


def single(port: int, fields: dict[str, object]) -> int:
    """The status of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/samples", json.dumps(fields), {"content-type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        return reply.status
    finally:
        connection.close()


def p50_seconds(port: int, requests: int) -> float:
    """Of a client that asks for one image after another."""
    took = []
    for seed in range(requests):
        begun = time.perf_counter()
        single(port, {"seed": seed})
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def unfairness(port: int) -> float:
    """p50 of single images beside a client that asks for 256 in a loop, by what it is alone."""
    alone = p50_seconds(port, 50)
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            single(port, {"n": 256, "format": "npy"})

    greedy = threading.Thread(target=ask)
    greedy.start()
    try:
        beside = p50_seconds(port, 50)
    finally:
        stop.set()
        greedy.join()
    return beside / alone


def measure(case: Case, times: float, seconds: float, rounds: int, folder: Path) -> list[str]:
    """A row of the table: of so many times the capacity."""
    port = running.free_port()
    file = models.write(case.model, folder / "models")
    environ = environment(AS_IT_COMES, file, ONNXRUNTIME, 0, 0, port, folder)
    if case.pass_seconds:
        (folder / "faults").write_text(str(case.pass_seconds))
        environ |= {"GANSERVE_ENGINE": "fake", "GANSERVE_FAKE_FAULTS": str(folder / "faults")}
        environ |= {"GANSERVE_WORKERS": "1", "GANSERVE_THREADS": "1", "GANSERVE_MAX_BATCH": "8"}
    with running.running(AS_IT_COMES.start(port), environ, port, folder) as server:
        # Until then passes were measured alone, and memory was never needed for so many connections.
        warm = loaded(server, case, None, 1, CLIENTS).images_per_second / case.n
        loaded(server, case, times * warm, 2, _connections(warm, times))
        peaks, at_capacity, at_ten_times, unfair = [], [], [], []
        for _ in range(rounds):
            peaks.append(loaded(server, case, None, seconds, CLIENTS))
            rate = peaks[-1].images_per_second / case.n
            connections = _connections(rate, times)
            at_capacity.append(loaded(server, case, rate, seconds, connections))
            at_ten_times.append(loaded(server, case, times * rate, seconds, connections))
            unfair.append(unfairness(port))
    peak, flooded = (median(one.images_per_second for one in runs) for runs in (peaks, at_ten_times))
    kept = median(
        ten.images_per_second / max(one.images_per_second, calm.images_per_second)
        for one, calm, ten in zip(peaks, at_capacity, at_ten_times, strict=True)
    )
    by_cpu = median(
        ten.images_per_cpu_second / max(one.images_per_cpu_second, calm.images_per_cpu_second)
        for one, calm, ten in zip(peaks, at_capacity, at_ten_times, strict=True)
    )
    arrived = median(
        case.n * ten.asked_per_second / one.images_per_second
        for one, ten in zip(peaks, at_ten_times, strict=True)
    )
    p99 = max(one.accepted_p99_seconds for one in at_ten_times)
    refusal = median(one.refusal_p50_seconds for one in at_ten_times)
    recovery = max(one.recovery_seconds for one in at_ten_times)
    slope = median(one.memory_mb_per_minute for one in at_ten_times)
    return [
        case.name,
        f"{peak:.0f}",
        f"{median(one.images_per_second for one in at_capacity):.0f}",
        _held(f"{flooded:.0f} ({kept:.2f})", kept >= (0.85 if case.n == 1 else 0.9)),
        f"{arrived:.1f}",
        f"{by_cpu:.2f}",
        _held(f"{1000 * p99:.0f}", p99 < 2),
        "none" if np.isnan(refusal) else _held(f"{1000 * refusal:.1f}", refusal < 0.25),
        _held(f"{slope:+.1f}", slope < 10),
        _held(f"{recovery:.2f}", recovery < 1),
        f"{sum(one.lost for one in at_ten_times)}",
        _held(f"{min(unfair):.1f}", min(unfair) <= 3),
    ]


def _connections(rate: float, times: float) -> int:
    """As many as may wait, as many as are being refused meanwhile, and some."""
    wanted = int(2 * rate * MAX_WAIT_SECONDS + times * rate * HOLD_SECONDS) + CLIENTS
    return min(MOST_CONNECTIONS, wanted)


def _held(text: str, held: bool) -> str:
    return text if held else f"{text} (missed)"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", default=4.0, show_default=True, help="How long each load lasts.")
@click.option(
    "--rounds", default=3, show_default=True, help="How often each is repeated; medians are printed."
)
@click.option("--times", default=10.0, show_default=True, help="How many times the capacity is asked for.")
@click.option("--only", default="", help="Only the cases whose name holds this.")
def main(seconds: float, rounds: int, times: float, only: str) -> None:
    """Peak, capacity, several times the capacity; what is refused, how soon, and what is left afterwards."""
    console = Console(width=200)
    console.print(f"{machine.cpu_name()}, load average {machine.facts()['load_average']}")
    table = Table(title="Goodput in images/s; times in ms, recovery in s")
    for name in (
        *("case", "peak", "at capacity", f"at {times:g} x (of the best)", "x that arrived", "by CPU second"),
        *("accepted p99", "429 p50", "MB/min", "recovery", "lost", "p50 beside 256s / alone"),
    ):
        table.add_column(name)
    for case in CASES:
        if only in case.name:
            with running.scratch() as folder:
                table.add_row(*measure(case, times, seconds, rounds, folder))
    console.print(table)


if __name__ == "__main__":
    main()
