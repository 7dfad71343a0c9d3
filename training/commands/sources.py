"""Options that name files and data sets. Apart from the others, for which torch is imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def data(text: str, required: bool = True) -> Option:
    return click.option("--data", required=required, type=EXISTING, help=text)


SOURCE = data(
    "A folder of images with one subfolder per class, perhaps in train/ and test/, or all of one kind; the same as .zip "
    "or .tar; a folder of IDX or CIFAR files; Parquet; an .npz. docs/training.md has them all."
)
