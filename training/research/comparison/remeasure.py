"""A comparison measured anew, of its exported models alone, after the judges changed.

    python -m training.research.comparison.remeasure docs/systems.json --data data/fashion-mnist --also models/fashion-mnist

Figures go into the files, their cards and the table; a file with other figures is another version that draws the same images.
Of seeds whose model is gone figures can't be had, and those runs leave the table. Stopped, the same command goes on.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, JUDGE_IMAGES, SEVERAL_JUDGES
from training.commands.sources import EXISTING, FOLDER, data
from training.data.formats import load
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.generated import open_model
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import MIN_IMAGES, reference
from training.export.export import add_figures
from training.research.comparison.folder import model_name, read_json
from training.research.comparison.measure import figures_of
from training.research.documents import save_json

ENGINE = ("onnxruntime", "fp32")
"""Of every row, so that they can be compared on any machine."""


@click.command("remeasure")
@click.argument("table", type=EXISTING)
@data("The data set of the comparison.")
@click.option("--models", type=FOLDER, default=Path("models"), show_default=True, help="Where they lie.")
@click.option("--also", type=EXISTING, multiple=True, help="A model outside the table; may be repeated.")
@click.option("--images", "count", type=click.IntRange(MIN_IMAGES), default=10_000, show_default=True)
@click.option(
    "--draws",
    "several",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Of so many images each, from other seeds.",
)
@SEVERAL_JUDGES
@JUDGE_IMAGES
@CACHE
def command(
    table: Path,
    data: Path,
    models: Path,
    also: tuple[Path, ...],
    count: int,
    several: int,
    judges: tuple[str, ...],
    judge_images: int | None,
    cache: Path,
) -> None:
    """Measure the models of a comparison again, on one CPU thread."""
    torch.set_num_threads(1)
    comparison, chosen = read_json(table), judges_of(judges, judge_images)
    by = {"judges": [asdict(judge) for judge in chosen], "images": count, "draws": several}
    comparison["runs"] = [run for run in comparison["runs"] if (models / folder(run)).exists()]
    with threadpool_limits(1), Progress(console=Console(stderr=True)) as progress:
        real = reference(load(data), chosen, cache, progress, count)

        def measured(model: Path) -> Evaluation:
            found = evaluate_beside(real, open_model(model, *ENGINE, threads=1), progress, count, several)
            add_figures(model, lambda _: found, threads=1)
            return found

        for i, run in enumerate(comparison["runs"]):
            if run.get("remeasured_by") == by:
                continue
            found = measured(models / folder(run)).to_json()
            kept = {name: value for name, value in run.items() if name not in ("judge", "measured_by")}
            comparison["runs"][i] = kept | figures_of(found) | {"remeasured_by": by}
            save_json(table, comparison)
        for model in also:
            measured(model)


def folder(run: dict[str, Any]) -> str:
    return model_name(run["preset"], run["seed"])


if __name__ == "__main__":
    command()
