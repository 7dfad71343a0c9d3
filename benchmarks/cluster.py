"""python -m benchmarks.cluster MODEL ADDRESS: what a Ray cluster writes per second, beside this machine alone.

A cluster of this machine's own cores, as two nodes of one core each, shows what Ray itself costs.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", default="fashion-mnist")
@click.argument("address", default="auto")
@click.option("--n", type=click.IntRange(1000), default=20_000, show_default=True, help="Images of a set.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(model: str, address: str, n: int, rounds: int) -> None:
    """The same set here and there, in turn. Prints seconds until its first images, and images per second from there on."""
    from ganserve.generating.cluster import ClusterModel
    from ganserve.generating.engine import LocalModel
    from ganserve.generating.plan import plan
    from ganserve.generating.sets import Source, make

    def written(source: Source, i: int) -> tuple[float, float]:
        """Seconds until the first images are written, and images per second after them."""
        times: list[tuple[float, int]] = []
        made = plan(source.origin, n, None, i * n, [], 1.0, None, source.most_batch)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            make(
                source,
                made,
                Path(folder, "set.tar"),
                True,
                "",
                lambda images: times.append((time.perf_counter(), images)),
            )
        (first, images), (last, _) = times[1], times[-1]  # before them is told what was there already
        return first - begun, (n - images) / (last - first)

    sources: dict[str, Source] = {"here": LocalModel(model), "cluster": ClusterModel(model, address)}
    rows = [{name: written(source, i) for name, source in sources.items()} for i in range(rounds)]
    origin = sources["here"].origin
    facts: dict[str, object] = {"model": f"{origin.model}@{origin.version}", "engine": origin.engine, "n": n}
    for name in sources:
        facts[name] = {
            "first_seconds": [round(row[name][0], 2) for row in rows],
            "images_per_second": [round(row[name][1]) for row in rows],
        }
    ratios = [row["cluster"][1] / row["here"][1] for row in rows]
    facts |= {
        "ratios": [round(one, 3) for one in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
