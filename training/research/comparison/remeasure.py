"""A comparison measured anew, of its exported models alone, after the judges changed.

    python -m training.research.comparison.remeasure docs/systems.json --data data/fashion-mnist

Figures go into each model's file and card and into the table; of seeds whose model is gone they can't be had, and those
runs leave the table. Stopped, the same command goes on.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, JUDGE_IMAGES, judges
from training.commands.sources import EXISTING, FOLDER, data
from training.data.formats import load
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.generated import Source
from training.evaluation.quality.judging import JUDGES, judges_of
from training.evaluation.reference import MIN_IMAGES, reference
from training.export.export import add_figures
from training.research.comparison.folder import read_json
from training.research.comparison.measure import figures_of
from training.research.documents import save_json


@click.command("remeasure")
@click.argument("table", type=EXISTING)
@data("The data set of the comparison.")
@click.option("--models", type=FOLDER, default=Path("models"), show_default=True, help="Where they lie.")
@click.option("--images", "count", type=click.IntRange(MIN_IMAGES), default=10_000, show_default=True)
@judges(default=list(JUDGES))
@JUDGE_IMAGES
@CACHE
def command(
    table: Path,
    data: Path,
    models: Path,
    count: int,
    judges: tuple[str, ...],
    judge_images: int | None,
    cache: Path,
) -> None:
    """Measure the models of a comparison again, on one CPU thread."""
    torch.set_num_threads(1)
    comparison, chosen = read_json(table), judges_of(judges, judge_images)
    by = {"judges": [asdict(judge) for judge in chosen], "images": count}
    comparison["runs"] = [run for run in comparison["runs"] if (models / folder(run)).exists()]
    with threadpool_limits(1), Progress(console=Console(stderr=True)) as progress:
        real = reference(load(data), chosen, cache, progress, count)
        for i, run in enumerate(comparison["runs"]):
            if run.get("remeasured_by") == by:
                continue
            found: list[Evaluation] = []

            def measure(source: Source, found: list[Evaluation] = found) -> Evaluation:
                found.append(evaluate_beside(real, source, progress, count))
                return found[0]

            add_figures(models / folder(run), measure, threads=1)
            kept = {name: value for name, value in run.items() if name not in ("judge", "measured_by")}
            comparison["runs"][i] = kept | figures_of(found[0].to_json()) | {"remeasured_by": by}
            save_json(table, comparison)


def folder(run: dict[str, Any]) -> str:
    return run["preset"] if run["seed"] == 0 else f"{run['preset']}-seed-{run['seed']}"


if __name__ == "__main__":
    command()
