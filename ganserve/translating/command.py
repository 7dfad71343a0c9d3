"""`ganserve translate`: a picture of each picture."""

from pathlib import Path

import click

from ganserve.client import Client, Label
from ganserve.files import Output, encode
from ganserve.options import (
    MAX_SEED,
    check_quality,
    label_option,
    model_option,
    quality_option,
    scalar_option,
    with_client,
    with_output,
)
from ganserve.terminal import say


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
@scalar_option
@model_option
@quality_option
@with_output(
    ("png", "webp", "jpg", "avif", "npy"),
    "NAME.png, .webp, .jpg or .avif: a grid. NAME.npy: uint8 [n, H, W, C]. FOLDER/: one picture each, of the same names. "
    "-: stdout.",
    folders=True,
)
@with_client
def translate(
    client: Client,
    pictures: tuple[Path, ...],
    label: Label | list[Label] | None,
    seed: int | None,
    scalars: dict[str, float] | None,
    model: str | None,
    quality: int | None,
    to: Output,
    as_json: bool,
) -> None:
    """Draw a picture of each PICTURE, by a model that is given one."""
    check_quality(to, quality)
    names = [f"{one.stem}.{to.format}" for one in pictures]
    if to.folder and len(set(names)) < len(names):
        raise click.UsageError("Two of the pictures have one name, and would be one file.")
    drawn = client.translate(
        [one.read_bytes() for one in pictures], label, seed, scalars=scalars, model=model
    )
    files = {"": encode(drawn.images, to.format, quality)}
    if to.folder:
        files = {name: encode(drawn.images[i : i + 1], to.format, quality) for i, name in enumerate(names)}
    labels, seeds = (None if given is None else given.tolist() for given in (drawn.labels, drawn.seeds))
    facts = {"model": drawn.model, "version": drawn.version, "labels": labels, "seeds": seeds}
    what = f"{len(drawn.images)} images" if len(drawn.images) > 1 else "1 image"
    say(to.path, what, facts, to.write(files), as_json)
