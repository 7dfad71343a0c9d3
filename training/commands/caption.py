"""`python -m training caption train | evaluate | export`: a text in, a picture out."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service.generator.loading import CARD, FILE
from training.captions.export import export
from training.captions.figures import compare, table
from training.captions.rules import ATTRIBUTES
from training.captions.run import Painter, open_run, train
from training.commands.options import AS_JSON, MEASURED, MODEL, RUN, interruptible, run_of, whole
from training.data.formats import load
from training.errors import UserError
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import judge_by, size_of
from training.export.card import SAMPLES
from training.settings import Settings

_EACH = whole("--each", "Pictures of every combination of words.", 100)


@click.group("caption")
def command() -> None:
    """Train a generator that draws what a text says, on captions that a rule makes of any labelled data set.

    A caption names the class, and what is measured of the picture: "a small dark bag".
    """


@command.command("train")
@run_of(Settings(images=300_000), 2, "weights, order of images and words")
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
def train_command(
    data: Path,
    run: Path,
    attributes: tuple[str, ...],
    interpolated: bool,
    checkpoint_every: int,
    **named: Any,
) -> None:
    """Train, or go on with a run that was stopped: the same command, and on a CPU the same bits."""
    console = Console()
    with interruptible(console, run):
        train(Settings(**named), run, load(data), console, attributes, interpolated, checkpoint_every)


@command.command("evaluate")
@RUN
@MEASURED
@_EACH
@AS_JSON
def evaluate_command(as_json: bool, **named: Any) -> None:
    """Measure how often a picture shows what its text says, for texts seen in training and for those held out."""
    _, found = measured(**named)
    click.echo(json.dumps(found, indent=1) if as_json else table(found))


@command.command("export")
@RUN
@MODEL
@MEASURED
@_EACH
def export_command(model: Path, **named: Any) -> None:
    """Write the averaged generator as an ONNX file with its words inside, and a card with its figures.

    Nothing is written unless the file draws the trained network's pictures and loads with the code that will serve it.
    """
    painter, found = measured(**named)
    size = export(painter, model, found, named["threads"] or 0)
    click.echo(f"{model}: {FILE} ({size / 2**20:.2f} MiB), {CARD}, {SAMPLES}")


def measured(
    run: Path, data: Path, judge: str, judge_images: int | None, each: int, cache: Path, threads: int | None
) -> tuple[Painter, dict[str, Any]]:
    """The run, and what was found. Raises UserError."""
    painter, dataset = open_run(run), load(data)
    if painter.header.spec != dataset.spec:
        raise UserError(f"{run} was trained on {painter.header.spec.dataset}: give the same --data")
    # Before a judge is trained for minutes.
    size_of(dataset, judges_of([judge], judge_images), len(dataset.test_images))
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        eyes, settings = judge_by(dataset, judge, judge_images, cache, progress)
        return painter, compare(painter, dataset, eyes, settings, each)
