"""`python -m training classify`: what few labels and many images teach, as a model with a classifier."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from service.generator.encoder import encoder_of
from service.generator.loading import CARD, FILE
from training.classification.export import HEAD, export, rows
from training.classification.learning import BATCH, KNOWN, Settings, alone, known, learning
from training.commands.options import MODEL, THREADS, whole
from training.commands.sources import SOURCE
from training.data.dataset import Dataset
from training.data.formats import load
from training.errors import UserError

DEFAULT = Settings()


@click.command("classify")
@SOURCE
@MODEL
@whole("--labels", "Images whose class is known, of every class as many.", DEFAULT.labels)
@whole("--images", "Length of the run in images seen without their class.", DEFAULT.images, 8 * BATCH)
@whole("--seed", "Draws the labels; decides weights and order of images.", DEFAULT.seed, 0)
@THREADS
def command(data: Path, model: Path, labels: int, images: int, seed: int, threads: int | None) -> None:
    """Train a classifier by few labels and many images, as the discriminator of K + 1 classes (Salimans et al. 2016).

    Its generator becomes the model, and the classifier lies beside it as generator.encoder: the service names classes by
    it. File and card have the share of the test images that it names right, beside the same network on the labels alone.
    Stopped while it trains, it leaves everything as it was.
    """
    dataset, settings = load(data), Settings(labels, seed, images)
    check(dataset, labels)
    chosen = known(dataset, labels, seed)
    with Progress(console=Console(stderr=True)) as progress:
        ways = learning(dataset, chosen, False, settings.updates, seed)
        *_, learnt = progress.track(ways, settings.updates, description=KNOWN)
        progress.add_task("the labels alone", total=None)
        baselines = alone(dataset, chosen, settings.updates, seed)
    quality = export(learnt, settings, dataset, model, baselines, threads or 0)
    table = Table(*HEAD)
    for row in rows(quality):
        table.add_row(*row)
    Console().print(table)
    click.echo(f"{model}: {FILE}, {encoder_of(Path(FILE))}, {CARD}")


def check(dataset: Dataset, labels: int) -> None:
    """Raises UserError."""
    count = len(dataset.class_names)
    if count < 2:
        raise UserError("the data set has one class: there is nothing to tell apart")
    if labels % count or labels < 2 * count:
        raise UserError(f"--labels {labels}: of {count} classes each has as many, two or more")
