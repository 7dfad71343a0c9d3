"""Options that several commands have."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from training.commands.sources import FOLDER, Option
from training.evaluation.quality.judging import JUDGES

_JUDGE = "Classifier in whose features images are compared"


def judges(default: Sequence[str]) -> Option:
    words, of = f"{_JUDGE}; may be repeated.", click.Choice(list(JUDGES))
    more = {"multiple": True, "default": default, "show_default": True}
    return click.option("--judge", "judges", type=of, help=words, **more)


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
JUDGE_IMAGES = click.option("--judge-images", type=click.IntRange(1), help="A judge's training, in images.")


def judges_folder() -> Path:
    """Where trained judges are kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganserve"


CACHE = click.option(
    "--cache", type=FOLDER, default=judges_folder, help="Of trained judges; by default in the user's cache."
)
DEVICE = choice("--device", ["auto", "cpu", "cuda"])
THREADS = click.option("--threads", type=click.IntRange(1), help="CPU threads; all if not given.")
