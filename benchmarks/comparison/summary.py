"""The short table of docs/performance.md, from a saved measurement: python -m benchmarks.comparison.summary RESULT.json MODEL."""

import sys
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.comparison.report import Cell, Run, median_raw, number, unique
from benchmarks.comparison.workloads import Workload
from benchmarks.server.servers import ONNXRUNTIME

LOADS = [*(Workload(1, "png", connections) for connections in (1, 16, 64)), Workload(16, "npy", 16)]


def table(run: Run, model: str) -> str:
    """One row a server, one column a load: images/s, the ratio to the raw limit, p99."""
    raw = median_raw(run.raw[model], *ONNXRUNTIME)
    cells = [
        cell for cell in run.cells if cell.model == model and (cell.engine, cell.precision) == ONNXRUNTIME
    ]
    lines = [
        "| images/s (of the raw limit), p99 ms | " + " | ".join(load.name for load in LOADS) + " |",
        "| --- |" + " ---: |" * len(LOADS),
        f"| *raw limit* | {number(1000 / raw.pass_ms)} (lone pass) |"
        + f" {number(raw.images_per_second)} |" * (len(LOADS) - 1),
    ]
    for server in unique(cell.server for cell in cells):
        shown = [
            _cell([c for c in cells if (c.server, c.workload) == (server, load)], raw.images_per_second)
            for load in LOADS
        ]
        lines.append(f"| {server} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _cell(cells: list[Cell], limit: float) -> str:
    if not cells:
        return ""
    rate = median(cell.images_per_second for cell in cells)
    p99 = median(cell.load.p99_ms for cell in cells)
    lost = sum(cell.load.refused + cell.load.lost for cell in cells)
    return f"{number(rate)} ({rate / limit:.2f}), {number(p99)}" + (
        f", {lost} refused or lost" if lost else ""
    )


if __name__ == "__main__":
    print(table(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Run), sys.argv[2]))
