"""`ganserve translate`: a picture of each picture."""

from pathlib import Path
from typing import Any

import click

from ganserve.client import Client, Label
from ganserve.files import Output
from ganserve.options import IN_FILES, MAX_SEED, PICTURES, label_option, with_client, with_output
from ganserve.terminal import show_drawn


@click.command()
@click.argument(
    "pictures",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PICTURE...",
)
@label_option
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Of the first, where the model takes one.")
@with_output(PICTURES, IN_FILES.format("each, of the same names"), folders=True)
@with_client
def translate(
    client: Client,
    pictures: tuple[Path, ...],
    label: Label | list[Label] | None,
    seed: int | None,
    quality: int | None,
    to: Output,
    as_json: bool,
    **asked: Any,
) -> None:
    """Draw a picture of each PICTURE, by a model that is given one."""
    names = [one.stem for one in pictures]
    if to.folder and len(set(names)) < len(names):
        raise click.UsageError("Two of the pictures have one name, and would be one file.")
    drawn = client.translate([one.read_bytes() for one in pictures], label, seed, **asked)
    show_drawn(drawn, to, names, quality, as_json)
