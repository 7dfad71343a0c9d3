"""Options that several commands have."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console

from training.commands.sources import FOLDER, SOURCE, Option
from training.evaluation.quality.judging import JUDGES
from training.run.loop import Interrupted, say

_JUDGE = "Classifier in whose features images are compared"


def choice(name: str, names: Sequence[str], text: str = "", default: str | None = None) -> Option:
    """One of these names, by default the first."""
    of, default = click.Choice(names), default or names[0]
    return click.option(name, type=of, default=default, show_default=True, help=text or None)


def whole(name: str, text: str, default: int, least: int = 1, most: int | None = None) -> Option:
    """A whole number."""
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


def flag(name: str, text: str) -> Option:
    return click.option(name, is_flag=True, help=text)


JUDGE = choice("--judge", list(JUDGES), f"{_JUDGE}.", "residual")
SEVERAL_JUDGES = click.option(
    "--judge",
    "judges",
    type=click.Choice(list(JUDGES)),
    multiple=True,
    default=list(JUDGES),
    show_default=True,
    help=f"{_JUDGE}; may be repeated.",
)
JUDGE_IMAGES = click.option("--judge-images", type=click.IntRange(1), help="A judge's training, in images.")


def judges_folder() -> Path:
    """Where trained judges are kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganserve"


CACHE = click.option(
    "--cache", type=FOLDER, default=judges_folder, help="Of trained judges; by default in the user's cache."
)
DEVICE = choice("--device", ["auto", "cpu", "cuda"])
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def threads(of_torch_alone: bool = False) -> Option:
    """Torch has them from then on; the command is told how many, unless torch is all that computes."""

    def take(_: click.Context, __: click.Parameter, count: int | None) -> int | None:
        if count:
            torch.set_num_threads(count)
        return count

    words, kept = "CPU threads; all if not given.", not of_torch_alone
    return click.option("--threads", type=click.IntRange(1), callback=take, expose_value=kept, help=words)


THREADS = threads()
# Of commands that train, measure and export a kind of generator that is no class-conditional one.
RUN = click.option("--run", required=True, type=FOLDER, help="A run's folder.")
ABOUT_DATA = click.option(
    "--about-data", help="For the card: what the images are, whose, and under which licence."
)
MODEL = click.option(
    "--model", required=True, type=FOLDER, help="The model's folder, whose name is the model's."
)


def options(*several: Option) -> Option:
    """In this order."""

    def with_all(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(several):
            command = one(command)
        return command

    return with_all


# What measures a run and what exports it.
MEASURED = options(SOURCE, JUDGE, JUDGE_IMAGES, THREADS, CACHE)


def run_of(default: Any, least_batch: int, seed: str) -> Option:
    """What begins a run, or goes on with it. default: its settings. seed: what it decides."""
    return options(
        SOURCE,
        RUN,
        whole("--images", "Length of the run in real images seen.", default.images),
        whole("--batch", "Images in an update.", default.batch, least_batch),
        whole("--seed", f"Decides {seed}.", default.seed, 0),
        whole("--width", "Channels of both networks at half resolution.", default.width, 2, 1024),
        whole("--checkpoint-every", "In images.", 10_000),
        threads(of_torch_alone=True),
    )


@contextmanager
def interruptible(console: Console, run: Path) -> Iterator[None]:
    """Ctrl-C ends a run with a line, when its checkpoint is written."""
    try:
        yield
    except Interrupted:
        say(console, f"Stopped; the checkpoint is in {run}. The same command goes on from it.")
        sys.exit(130)
