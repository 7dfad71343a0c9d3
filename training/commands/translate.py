"""`python -m training translate train | evaluate | export`: a picture in, a picture out (pix2pix)."""

import sys
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console

from training.commands.options import THREADS, choice, whole
from training.commands.sources import FOLDER, SOURCE
from training.data.formats import load
from training.run.loop import Interrupted, say
from training.translation.rules import RULES
from training.translation.run import Settings, train

_DEFAULT = Settings()
_RUN = click.option("--run", required=True, type=FOLDER, help="The run's folder.")


@click.group("translate")
def command() -> None:
    """Train a generator that is given a picture, on pairs which a rule makes of any data set: pix2pix.

    The rule makes of each real picture the one that goes in; the generator learns the way back.
    """


@command.command("train")
@SOURCE
@_RUN
@choice("--rule", list(RULES), "; ".join(f"{name}: {rule.about}" for name, rule in RULES.items()) + ".")
@whole("--images", "Length of the run in real images seen.", _DEFAULT.images)
@whole("--batch", "Images in an update.", _DEFAULT.batch)
@whole("--seed", "Decides weights and order of images.", _DEFAULT.seed, 0)
@whole("--width", "Channels of both networks at half resolution.", _DEFAULT.width, 2, 1024)
@click.option("--l1-weight", type=click.FloatRange(0), default=_DEFAULT.l1_weight, show_default=True, help="Lambda.")
@click.option("--adversarial/--l1-alone", default=True, show_default=True, help="With a discriminator, or without.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=_DEFAULT.lr, show_default=True)
@whole("--checkpoint-every", "In images.", 10_000)
@THREADS
def train_command(data: Path, run: Path, threads: int | None, checkpoint_every: int, **named: Any) -> None:
    """Train, or go on with a run that was stopped: the same command, and on a CPU the same bits."""
    if threads:
        torch.set_num_threads(threads)
    console = Console()
    try:
        train(Settings(**named), run, load(data), console, checkpoint_every)
    except Interrupted:
        say(console, f"Stopped; the checkpoint is in {run}. The same command goes on from it.")
        sys.exit(130)
