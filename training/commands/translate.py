"""`python -m training translate train | evaluate | export`: a picture in, a picture out (pix2pix, CycleGAN)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service.generator.loading import CARD, FILE
from training.commands.options import (
    ABOUT_DATA,
    AS_JSON,
    MEASURED,
    MODEL,
    choice,
    interruptible,
    options,
    run_of,
    whole,
)
from training.commands.sources import FOLDER
from training.data.dataset import Dataset
from training.data.formats import load
from training.errors import UserError
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import MIN_IMAGES, judge_by, size_of
from training.export.card import SAMPLES
from training.translation.export import export
from training.translation.figures import compare, table
from training.translation.rules import RULES, domains
from training.translation.run import Translator, open_run, train
from training.translation.settings import CLASSES, Settings

_DEFAULT = Settings()
_RUNS = options(
    click.option(
        "--run", "runs", required=True, multiple=True, type=FOLDER, help="A run's folder; may be repeated."
    ),
    MEASURED,
    whole("--images", "Held-out pictures.", 10_000, MIN_IMAGES),
)


def _weight(name: str, text: str, default: float) -> Callable[[Any], Any]:
    return click.option(name, type=click.FloatRange(0), default=default, show_default=True, help=text)


@click.group("translate")
def command() -> None:
    """Train a generator that is given a picture: pix2pix, on pairs which a rule makes of any data set, or CycleGAN.

    The rule makes of each real picture the one that goes in; the generator learns the way back. Of two classes without
    pairs it learns the way from one to the other.
    """


@command.command("train")
@run_of(_DEFAULT, 1, "weights and order of images")
@choice("--rule", list(RULES), "; ".join(f"{name}: {rule.about}" for name, rule in RULES.items()) + ".")
@click.option(
    "--from", "source", default="", metavar="CLASS", help=f"Of --rule {CLASSES}: whose pictures go in."
)
@click.option(
    "--to", "target", default="", metavar="CLASS", help=f"Of --rule {CLASSES}: as whose they come out."
)
@_weight("--l1-weight", "Lambda of pairs.", _DEFAULT.l1_weight)
@_weight("--cycle-weight", "Lambda without pairs.", _DEFAULT.cycle_weight)
@_weight(
    "--identity-weight", "Without pairs, of pictures that are of the class already.", _DEFAULT.identity_weight
)
@click.option(
    "--adversarial/--l1-alone", default=True, show_default=True, help="With a discriminator, or without."
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=_DEFAULT.lr, show_default=True)
def train_command(data: Path, run: Path, checkpoint_every: int, **named: Any) -> None:
    """Train, or go on with a run that was stopped: the same command, and on a CPU the same bits."""
    console = Console()
    with interruptible(console, run):
        train(Settings(**named), run, load(data), console, checkpoint_every)


@command.command("evaluate")
@_RUNS
@AS_JSON
def evaluate_command(as_json: bool, **named: Any) -> None:
    """Measure runs on the same held-out pictures: L1, PSNR, SSIM or the way back, sharpness, and what a judge sees."""
    _, _, found = measured(**named)
    click.echo(json.dumps(found, indent=1) if as_json else table(found))


@command.command("export")
@_RUNS
@MODEL
@ABOUT_DATA
def export_command(model: Path, about_data: str | None, **named: Any) -> None:
    """Write the first run's averaged generator as an ONNX file, with a card that has the figures of all.

    Nothing is written unless the file draws the trained network's pictures and loads with the code that will serve it.
    """
    translators, dataset, found = measured(**named)
    size = export(list(translators.values()), model, dataset, found, named["threads"] or 0, about_data)
    click.echo(f"{model}: {FILE} ({size / 2**20:.2f} MiB), {CARD}, {SAMPLES}")


def measured(
    runs: tuple[Path, ...],
    data: Path,
    judge: str,
    judge_images: int | None,
    images: int,
    threads: int | None,
    cache: Path,
) -> tuple[dict[str, Translator], Dataset, dict[str, Any]]:
    """The runs by their folders' names, the data set, and what was found. Raises UserError."""
    translators = {run.resolve().name: open_run(run) for run in runs}
    dataset = load(data)
    for name, one in translators.items():
        if one.header.spec != dataset.as_one_class().spec:
            raise UserError(f"{name} was trained on {one.header.spec.dataset}: give the same --data")
    rules = {
        " ".join([one.rule, one.source, one.target]).strip()
        for one in [run.header.settings for run in translators.values()]
    }
    if len(rules) > 1:
        raise UserError(
            f"the runs' rules differ, so that they were given other pictures: {', '.join(sorted(rules))}"
        )
    # Before a judge is trained for minutes.
    _, target = domains(next(iter(translators.values())).header.settings, dataset)
    size_of(target, judges_of([judge], judge_images), images)
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        eyes, settings = judge_by(dataset, judge, judge_images, cache, progress)
        found = compare(translators, dataset, eyes, settings, images)
    return translators, dataset, found
