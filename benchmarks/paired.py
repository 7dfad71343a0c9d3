"""python -m benchmarks.paired OLD NEW: two ONNX files of the same contract, pass against pass."""

import random
import statistics
import time
from pathlib import Path

import click

from benchmarks.comparison.raw_limit import ENGINES

ROUNDS = 200
BATCHES = (1, 8, 16)


def ratio(passes: list, feed: dict) -> tuple[float, list[float]]:
    """Median of new / old over rounds in which both ran, in random order; and the median ms of each."""
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for which in random.sample((0, 1), 2):
            begun = time.perf_counter()
            passes[which](feed)
            times[which].append(1000 * (time.perf_counter() - begun))
    ratios = [new / old for old, new in zip(*times, strict=True)]
    return statistics.median(ratios), [statistics.median(one) for one in times]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", type=click.Path(exists=True, dir_okay=False))
@click.argument("new", type=click.Path(exists=True, dir_okay=False))
@click.option("--engine", type=click.Choice(list(ENGINES)), default="onnxruntime", show_default=True)
def main(old: str, new: str, engine: str) -> None:
    """Two ONNX files of the same contract, pass against pass on one thread: the ratio of their times, NEW by OLD."""
    import numpy as np

    from service.generator.contract import parse
    from service.generator.latents import latents

    contract = parse(Path(old).read_bytes())
    passes = [ENGINES[engine](file, "fp32", 1, 1)[0] for file in (old, new)]
    for n in BATCHES:
        feed = {"z": latents(range(n), contract.z_dim), "label": np.arange(n) % contract.class_count}
        for run in passes:
            run(feed)
        middle, (old_ms, new_ms) = ratio(passes, feed)
        print(f"{engine}, N={n}: {old_ms:.2f} -> {new_ms:.2f} ms, ratio {middle:.3f}")


if __name__ == "__main__":
    main()
