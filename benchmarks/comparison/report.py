"""Measurements -> one table, and a record of everything that was measured."""

import math
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import msgspec

from benchmarks.comparison.load import Load
from benchmarks.comparison.raw_limit import RawLimit
from benchmarks.comparison.workloads import Workload
from benchmarks.server.probe import BOUND_MS

HEADER = [
    "model",
    "load",
    "server",
    "images/s",
    "p50 ms",
    "p99 ms",
    "errors",
    "memory MB",
    "ready s",
    "/livez p99 ms",
]

LEGEND = """\
In brackets: the ratio to the raw limit of the same run, model and engine, which stands above its rows. It is the
forward pass in one process without HTTP, queue and encoding. Images/s: at its best batch size, one single-threaded
session a core. Latency: of one connection that asks for one image, a lone pass at N=1; of the others, the time that
the raw images/s need for what all connections ask for, since each waits for all. Memory: PSS of that process with a
session a core. Ready: from its start to its first image.

Medians over the alternations, but errors are sums: refused are answers other than 2xx, lost are connections that
failed and answers after a minute. Memory is the PSS of all processes of a server, after the load. Ready: from the
start of the command to the first answer. n=1..100: every size equally often. /livez: asked 50 times a second beside
the load, of ganserve only; it has to stay under 50 ms at p99."""


T = TypeVar("T")


class Cell(msgspec.Struct, frozen=True):
    """One server under one load, once."""

    model: str
    workload: Workload
    server: str
    engine: str
    precision: str
    load: Load
    memory_mb: float
    ready_seconds: float
    other_cores: float
    """Cores' worth of processes that have no part in this, meanwhile."""
    livez_p99_ms: float | None = None

    @property
    def images_per_second(self) -> float:
        answered = self.load.requests - self.load.refused
        return answered * self.workload.images_per_request / self.load.seconds


class Failure(msgspec.Struct, frozen=True):
    """A server that could not be measured with a model, or not to the end."""

    model: str
    server: str
    why: str


class Run(msgspec.Struct):
    """Everything of one `make bench`."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    raw: dict[str, list[RawLimit]] = {}
    """By model; one a engine and alternation."""
    cells: list[Cell] = []
    failures: list[Failure] = []
    warnings: list[str] = []
    """Why the figures are no results; empty if they are."""


def median_raw(limits: Iterable[RawLimit], engine: str, precision: str) -> RawLimit:
    """The medians over the alternations."""
    same = [limit for limit in limits if (limit.engine, limit.precision) == (engine, precision)]
    names = [name for name in RawLimit.__struct_fields__ if name not in ("engine", "precision", "batch")]
    middle = {name: median(getattr(limit, name) for limit in same) for name in names}
    return RawLimit(engine, precision, batch=same[-1].batch, **middle)


def rows(run: Run) -> list[list[str]]:
    """The table: for each model and load, an engine's raw limit, then who is served by it."""
    table = [[f"NOT VALID: {warning}", *[""] * (len(HEADER) - 1)] for warning in run.warnings]
    for model in unique(cell.model for cell in run.cells):
        of_model = [cell for cell in run.cells if cell.model == model]
        for workload in unique(cell.workload for cell in of_model):
            for engine, precision in unique((cell.engine, cell.precision) for cell in of_model):
                raw = median_raw(run.raw[model], engine, precision)
                found = [
                    cell
                    for cell in of_model
                    if (cell.workload, cell.engine, cell.precision) == (workload, engine, precision)
                ]
                start = [model, workload.name]
                table.append([*start, *_raw_row(raw, workload)])
                table += [
                    [*start, *_row([cell for cell in found if cell.server == server], raw)]
                    for server in unique(cell.server for cell in found)
                ]
    for failure in run.failures:
        reason = f"failed: {failure.why.splitlines()[-1][:160]}"
        table.append([failure.model, "", failure.server, reason, *[""] * (len(HEADER) - 4)])
    return table


def _raw_row(raw: RawLimit, workload: Workload) -> list[str]:
    name = f"raw limit, {raw.engine} {raw.precision}, batch {raw.batch}"
    floor_ms = workload.floor_ms(raw)
    p99_ms = raw.p99_ms if floor_ms == raw.pass_ms else floor_ms
    figures = (raw.images_per_second, floor_ms, p99_ms)
    return [name, *map(number, figures), "", number(raw.memory_mb), number(raw.ready_seconds), ""]


def _row(cells: Sequence[Cell], raw: RawLimit) -> list[str]:
    floor_ms = cells[0].workload.floor_ms(raw)
    livez = [cell.livez_p99_ms for cell in cells if cell.livez_p99_ms is not None]
    late = " TOO LATE" if livez and median(livez) > BOUND_MS else ""
    return [
        cells[0].server,
        _with_ratio(median(cell.images_per_second for cell in cells), raw.images_per_second),
        _with_ratio(median(cell.load.p50_ms for cell in cells), floor_ms),
        _with_ratio(median(cell.load.p99_ms for cell in cells), floor_ms),
        _errors([cell.load for cell in cells]),
        _with_ratio(median(cell.memory_mb for cell in cells), raw.memory_mb),
        _with_ratio(median(cell.ready_seconds for cell in cells), raw.ready_seconds),
        number(median(livez)) + late if livez else "",
    ]


def _errors(loads: Sequence[Load]) -> str:
    if not all(load.requests for load in loads):
        return "nothing answered"
    refused, lost = (sum(getattr(load, kind) for load in loads) for kind in ("refused", "lost"))
    return f"{refused} refused, {lost} lost" if refused or lost else "0"


def markdown(run: Run) -> str:
    """The whole result file."""
    machine = run.machine
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}"
    lines = [
        "# Serving: ganserve and its peers",
        "",
        f"{where}; load average at the start {machine['load_average'][0]}; ganserve {machine['commit']}.",
        "",
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()) + ".",
        "",
        ", ".join(f"{name}: {value}" for name, value in run.settings.items()) + ".",
        "",
        *(f"**NOT VALID**: {warning}\n" for warning in run.warnings),
        LEGEND,
        "",
        "| " + " | ".join(HEADER) + " |",
        "| --- | --- | --- |" + " ---: |" * (len(HEADER) - 3),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows(run)),
    ]
    return "\n".join(lines) + "\n"


def save(run: Run, folder: Path, theme: str) -> Path:
    """Write THEME_HARDWARE_DATE.md and .json. Returns the former."""
    hardware = "-".join(f"{run.machine['cpu']} {run.machine['cores']} cores".lower().split())
    path = folder / f"{theme}_{hardware.replace('/', '-')}_{date.today()}.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(run))
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    return path


def number(value: float) -> str:
    """Three significant digits, and every digit before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def unique(values: Iterable[T]) -> list[T]:
    """Each once, in the order met."""
    return list(dict.fromkeys(values))


def _with_ratio(value: float, limit: float) -> str:
    ratio = value / limit
    return f"{number(value)} ({f'{ratio:.2f}' if 0.1 <= ratio < 10 else number(ratio)})"
