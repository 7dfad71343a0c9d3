"""`python -m training prepare`: a data set, checked and packed."""

from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from service.generator.images import png
from training.commands.sources import NEW_FILE, SOURCE
from training.data.dataset import SIZES, held_out_and_trained_on
from training.data.formats import load
from training.data.label_check import one_of_each, show
from training.data.layouts import npz
from training.files import written


@click.command("prepare")
@SOURCE
@click.option("--out", required=True, type=NEW_FILE, help="The .npz to write.")
@click.option("--name", help="The data set's name, which the model will carry; the folder's if not given.")
@click.option("--size", type=click.Choice([*map(str, SIZES)]), help="Crop to a centred square of this side.")
def command(data: Path, out: Path, name: str | None, size: str | None) -> None:
    """Check a data set and pack it into one .npz.

    Prints the images of each class, and writes a picture with one image per class beside the .npz:
    look at it before training for hours.
    """
    if out.suffix != ".npz":
        raise click.UsageError(f"--out {out}: the packed form is an .npz file")
    dataset = load(data, name, int(size) if size else None)
    picture = out.with_name(f"{out.stem}_classes.png")
    # Both or neither.
    with written(out) as packed, written(picture) as drawn:
        npz.write(dataset, packed)
        drawn.write(png(one_of_each(dataset)))
    if twice := held_out_and_trained_on(dataset):
        dataset = replace(dataset, notes=(*dataset.notes, twice))
    console = Console()
    show(dataset, console)
    words = f"Packed in {out}. One image a class, in the order above: {picture}"
    console.print(words, soft_wrap=True, markup=False)
