"""Options that several commands have."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from training.evaluation.quality.judging import JUDGES

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def data(text: str, required: bool = True) -> Option:
    return click.option("--data", required=required, type=EXISTING, help=text)


SOURCE = data(
    "An IDX folder (.gz files as of MNIST), a folder of images with one subfolder per class, or an .npz."
)


def judges(default: Sequence[str]) -> Option:
    return click.option(
        "--judge",
        "judges",
        type=click.Choice(list(JUDGES)),
        multiple=True,
        default=default,
        show_default=True,
        help="Classifier in whose features images are compared; may be repeated.",
    )


JUDGE = click.option(
    "--judge",
    type=click.Choice(list(JUDGES)),
    default="residual",
    show_default=True,
    help="Classifier in whose features images are compared.",
)
JUDGE_IMAGES = click.option(
    "--judge-images", type=click.IntRange(1), help="Another length of a judge's training, in images."
)


def judges_folder() -> Path:
    """Where trained judges are kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganserve"


CACHE = click.option(
    "--cache",
    type=FOLDER,
    default=judges_folder,
    help="Folder of trained judges; by default in the user's cache.",
)
DEVICE = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
THREADS = click.option("--threads", type=click.IntRange(1), help="CPU threads; all if not given.")
