"""A comparison measured anew, of its exported models alone, after the judges changed.

    python -m training.research.comparison.remeasure docs/systems.json --data data/fashion-mnist --also models/fashion-mnist

Figures go into the cards and into the table. The models' files stay as they are, or they would be other versions, and
every address of their images another one (`export --figures` writes into the file, too). Of seeds whose model is gone figures
can't be had, and those runs leave the table. Stopped, the same command goes on.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service.generator.contract import parse
from service.generator.loading import CARD, FILE
from training.commands.options import CACHE, JUDGE_IMAGES, SEVERAL_JUDGES
from training.commands.sources import EXISTING, FOLDER, data
from training.data.formats import load
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.generated import open_model
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import MIN_IMAGES, reference
from training.export.card import with_figures
from training.export.export import with_quality
from training.files import write_atomically
from training.research.comparison.folder import read_json
from training.research.comparison.measure import figures_of
from training.research.documents import save_json


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
            found = evaluate_beside(real, open_model(model, threads=1), progress, count, several)
            into_card(model, found)
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


def into_card(model: Path, evaluation: Evaluation) -> None:
    file, card = (model / FILE).read_bytes(), model / CARD
    contract = with_quality(parse(file), evaluation)
    write_atomically(card, with_figures(card.read_text("utf-8"), contract, file, file).encode())


def folder(run: dict[str, Any]) -> str:
    return run["preset"] if run["seed"] == 0 else f"{run['preset']}-seed-{run['seed']}"


if __name__ == "__main__":
    command()
