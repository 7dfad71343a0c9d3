"""`python -m training curve`: how a run's figures went while it saw images, of checkpoints that were copied from it meanwhile.

    python -m training curve kept/*.safetensors --data cifar10.npz --out docs/curves/cifar10

One judge sees them all, by which a checkpoint may be chosen: so it is `plain`, and the others stay impartial.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, JUDGE_IMAGES, THREADS, choice
from training.commands.sources import EXISTING, data
from training.data.dataset import Dataset
from training.data.formats import load
from training.evaluation.evaluate import check_match
from training.evaluation.generated import images_of, open_run
from training.evaluation.quality.comparison import Value, recognised
from training.evaluation.quality.judging import JUDGES, judges_of
from training.evaluation.reference import MIN_IMAGES, as_told, bar, draws, floor_samples, judge_by, size_of
from training.research.documents import machine, number, save_json, save_picture

TITLES = {"frechet_distance": "Fréchet distance ↓", "class_accuracy": "class accuracy ↑"}


@click.command("curve")
@click.argument("checkpoints", type=EXISTING, nargs=-1, required=True)
@data("What the run was trained on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Of the .json and the .png.")
@click.option("--images", "count", type=click.IntRange(MIN_IMAGES), default=5000, show_default=True)
@choice("--judge", list(JUDGES), default="plain")
@JUDGE_IMAGES
@THREADS
@CACHE
def command(
    checkpoints: tuple[Path, ...],
    data: Path,
    out: Path,
    count: int,
    judge: str,
    judge_images: int | None,
    threads: int | None,
    cache: Path,
) -> None:
    """Measure checkpoints of one run, and draw their figures against the real images seen."""
    dataset = load(data)
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        document = measured(dataset, checkpoints, count, judge, judge_images, cache, progress)
    save_json(out.with_suffix(".json"), document)
    save_picture(drawn(document), out.with_suffix(".png"))
    for row in document["checkpoints"]:
        figures = ", ".join(f"{TITLES[name]} {number(row[name]['value'])}" for name in TITLES if name in row)
        click.echo(f"{row['images_seen']:,} images: {figures}")


def measured(
    dataset: Dataset,
    checkpoints: tuple[Path, ...],
    count: int,
    name: str,
    judge_images: int | None,
    cache: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Each checkpoint's figures, and the floor, as JSON. Raises UserError: a checkpoint of other images."""
    size = size_of(dataset, judges_of([name], judge_images), count)
    judge, settings = judge_by(dataset, name, judge_images, cache, progress)
    (held_out,) = as_told(dataset, draws(dataset.test_images, dataset.test_labels, size, most=1))
    real, other = judge(held_out.images), floor_samples(dataset, settings, size)[0]

    def written(values: dict[str, Value]) -> dict[str, Any]:
        return {title: value._asdict() for title, value in values.items()}

    rows: list[dict[str, Any]] = []
    for path in checkpoints:
        source = open_run(path)
        check_match(source, dataset)
        images, labels = images_of(source, size, bar(progress, path.name, size))
        values = recognised(real.features, judge(images), labels if source.has_classes else None)
        rows.append({"images_seen": source.origin["images_seen"]} | written(values))
    return {
        "machine": machine(),
        "dataset": dataset.name,
        "judge": asdict(settings),
        "real": written(recognised(real.features, judge(other.images), other.labels)),
        "checkpoints": sorted(rows, key=lambda row: row["images_seen"]),
    }


def drawn(document: dict[str, Any]) -> Figure:
    """Both figures against the images seen, with one standard error over images; a line where real ones are."""
    rows, real = document["checkpoints"], document["real"]
    shown = [name for name in TITLES if name in rows[0]]
    figure = Figure(figsize=(4.5 * len(shown), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        seen = [row["images_seen"] for row in rows]
        values, errors = ([row[name][of] for row in rows] for of in ("value", "standard_error"))
        axes.errorbar(seen, values, errors, marker=".", capsize=2)
        axes.axhline(real[name]["value"], color="grey", linestyle="--", label="real images")
        axes.set(xlabel="real images seen", title=TITLES[name])
        axes.locator_params(axis="x", nbins=5)
        axes.legend()
    figure.axes[0].set_yscale("log")
    return figure
