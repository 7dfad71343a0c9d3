"""python -m benchmarks.bulk MODEL: what `ganserve generate` writes per second, beside what the engine alone computes.

By the clock, and by this process's CPU time, which tells more where others use the cores too: there whoever has more
threads gets more of them.
"""

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click

Speed = tuple[float, ...]
"""Images per second, and per second of CPU time."""


def since(begun: tuple[float, float], images: float) -> Speed:
    return images / (time.perf_counter() - begun[0]), images / (time.process_time() - begun[1])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", default="fashion-mnist")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="A ratio of each.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Of each, per round."
)
@click.option(
    "--format",
    "suffixes",
    multiple=True,
    type=click.Choice(["npz", "tar", "parquet", "folder"]),
    default=("npz", "tar"),
    show_default=True,
)
def main(model: str, rounds: int, seconds: float, suffixes: tuple[str, ...]) -> None:
    """Forward passes alone on every core (raw), and the whole way into files, in turn in one process."""
    from benchmarks.comparison.raw_limit import images_per_second
    from ganserve.generating.engine import LocalModel
    from ganserve.generating.plan import plan
    from ganserve.generating.sets import make
    from service.generator.engines.lone import inputs

    source = LocalModel(model)
    contract, lanes = source.contract, list(source.engine.lanes)

    def raw(size: int, lasting: float) -> Speed:
        z, label = inputs(contract, 0, size)
        passes = [lambda feed, run=run: run(z, label) for run in lanes]
        begun = time.perf_counter(), time.process_time()
        per_second = images_per_second(passes, {"label": z}, lasting)
        return since(begun, per_second * (time.perf_counter() - begun[0]))

    speeds = {size: raw(size, seconds / 5)[0] for size in (1, 2, 4, 8, 16, 32, 64)}
    best = max(speeds, key=speeds.__getitem__)
    n = round(speeds[best] * seconds)
    folder = Path(tempfile.mkdtemp())
    speed: dict[str, list[Speed]] = {suffix: [] for suffix in suffixes}
    limits: dict[str, list[Speed]] = {suffix: [] for suffix in suffixes}
    try:
        for i in range(rounds):
            for suffix in suffixes:
                before = raw(best, seconds / 2)
                out = folder / (f"{i}" if suffix == "folder" else f"{i}.{suffix}")
                made = plan(source.origin, n, None, i * n, [], 1.0, None, source.most_batch)
                begun = time.perf_counter(), time.process_time()
                make(source, made, out, True, "", lambda images: None)
                speed[suffix].append(since(begun, n))
                after = raw(best, seconds / 2)
                limits[suffix].append(tuple(map(statistics.mean, zip(before, after, strict=True))))
                shutil.rmtree(folder)
                folder.mkdir()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    origin = source.origin
    facts: dict[str, Any] = {
        "model": f"{origin.model}@{origin.version}",
        "engine": origin.engine,
        "precision": origin.precision,
    }
    facts |= {"lanes": len(lanes), "raw_batch": best, "images_per_round": n}
    for i, clock in enumerate(("clock", "cpu_time")):
        facts[clock] = {
            suffix: {
                "raw": round(statistics.median(one[i] for one in limits[suffix])),
                "written": round(statistics.median(one[i] for one in speed[suffix])),
                "ratios": [
                    round(one[i] / limit[i], 3)
                    for one, limit in zip(speed[suffix], limits[suffix], strict=True)
                ],
            }
            for suffix in suffixes
        }
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
