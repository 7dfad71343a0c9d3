"""`python -m training caption train | evaluate | export`: a text in, a picture out."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress

from service.generator.loading import CARD, FILE
from training.captions.export import export
from training.captions.figures import compare, table
from training.captions.rules import ATTRIBUTES
from training.captions.run import Painter, open_run, train
from training.commands.options import CACHE, JUDGE, JUDGE_IMAGES, THREADS, whole
from training.commands.sources import FOLDER, SOURCE
from training.data.formats import load
from training.errors import UserError
from training.evaluation.quality.judging import judge_for, judges_of, length
from training.evaluation.reference import bar
from training.export.card import SAMPLES
from training.run.loop import Interrupted, say
from training.settings import Settings

_DEFAULT = Settings(images=300_000)
_RUN = click.option("--run", required=True, type=FOLDER, help="A run's folder.")
_EACH = whole("--each", "Pictures of every combination of words.", 100)


@click.group("caption")
def command() -> None:
    """Train a generator that draws what a text says, on captions that a rule makes of any labelled data set.

    A caption names the class, and what is measured of the picture: "a small dark bag".
    """


@command.command("train")
@SOURCE
@_RUN
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    type=click.Choice(list(ATTRIBUTES)),
    help="What captions say beside the class; may be repeated. By default all that the pictures can have.",
)
@click.option(
    "--interpolated/--texts-alone",
    default=True,
    show_default=True,
    help="Half of G's texts half way between two.",
)
@whole("--images", "Length of the run in real images seen.", _DEFAULT.images)
@whole("--batch", "Images in an update.", _DEFAULT.batch, 2)
@whole("--seed", "Decides weights, order of images and words.", _DEFAULT.seed, 0)
@whole("--width", "Channels of both networks at half resolution.", _DEFAULT.width, 2, 1024)
@whole("--checkpoint-every", "In images.", 10_000)
@THREADS
def train_command(
    data: Path,
    run: Path,
    attributes: tuple[str, ...],
    interpolated: bool,
    threads: int | None,
    checkpoint_every: int,
    **named: Any,
) -> None:
    """Train, or go on with a run that was stopped: the same command, and on a CPU the same bits."""
    if threads:
        torch.set_num_threads(threads)
    console = Console()
    try:
        train(Settings(**named), run, load(data), console, attributes, interpolated, checkpoint_every)
    except Interrupted:
        say(console, f"Stopped; the checkpoint is in {run}. The same command goes on from it.")
        sys.exit(130)


@command.command("evaluate")
@_RUN
@SOURCE
@JUDGE
@JUDGE_IMAGES
@_EACH
@THREADS
@CACHE
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate_command(as_json: bool, **named: Any) -> None:
    """Measure how often a picture shows what its text says, for texts seen in training and for those held out."""
    _, found = measured(**named)
    click.echo(json.dumps(found, indent=1) if as_json else table(found))


@command.command("export")
@_RUN
@SOURCE
@click.option("--model", required=True, type=FOLDER, help="The model's folder, whose name is the model's.")
@JUDGE
@JUDGE_IMAGES
@_EACH
@THREADS
@CACHE
def export_command(model: Path, threads: int | None, **named: Any) -> None:
    """Write the averaged generator as an ONNX file with its words inside, and a card with its figures.

    Nothing is written unless the file draws the trained network's pictures and loads with the code that will serve it.
    """
    painter, found = measured(threads=threads, **named)
    size = export(painter, model, found, threads or 0)
    click.echo(f"{model}: {FILE} ({size / 2**20:.2f} MiB), {CARD}, {SAMPLES}")


def measured(
    run: Path, data: Path, judge: str, judge_images: int | None, each: int, threads: int | None, cache: Path
) -> tuple[Painter, dict[str, Any]]:
    """The run, and what was found. Raises UserError."""
    if threads:
        torch.set_num_threads(threads)
    painter, dataset = open_run(run), load(data)
    if painter.header.spec != dataset.spec:
        raise UserError(f"{run} was trained on {painter.header.spec.dataset}: give the same --data")
    (settings,) = judges_of([judge], judge_images)
    with Progress(console=Console(stderr=True)) as progress:
        seen = judge_for(dataset, settings, cache, bar(progress, "judge", length(dataset, settings)))
        return painter, compare(painter, dataset, seen, settings, each)
