"""`python -m training sample`: pictures of a run."""

from pathlib import Path

import click

from service.generator.classes import ClassNames, folded
from service.generator.images import grid, png
from training.commands.options import whole
from training.commands.sources import EXISTING, NEW_FILE
from training.files import write_atomically
from training.run.checkpoint import load_generator
from training.run.samples import sample


@click.command("sample")
@click.option("--run", required=True, type=EXISTING, help="A run folder, or a checkpoint file.")
@click.option("--out", required=True, type=NEW_FILE, help="The .png to write.")
@click.option("--label", help="A class name or index. All classes, one per row, if not given.")
@whole("--seed", "Of the first image.", 0, 0, 2**53 - 1001)
@whole("--n", "Images of each class.", 10, 1, 1000)
def command(run: Path, out: Path, label: str | None, seed: int, n: int) -> None:
    """Draw pictures from a run's averaged generator.

    Seeds are addresses: the exported model gives the same image for the same seed and class.
    """
    if out.suffix != ".png":
        raise click.UsageError(f"--out {out}: pictures are written as .png")
    trained = load_generator(run)
    names = trained.spec.class_names
    labels = range(len(names)) if label is None else [class_index(label, names)]
    seeds = list(range(seed, seed + n))
    each = [label for label in labels for _ in seeds]
    images = sample(trained.generator, trained.settings, seeds * len(labels), each)
    write_atomically(out, png(grid(images, n if label is None else None)))


def class_index(label: str, class_names: tuple[str, ...]) -> int:
    """A class by its name in any case, its slug or its index, as the service finds it. Raises click.UsageError."""
    index = ClassNames(class_names).label_of.get(folded(label))
    if index is None and label.isdecimal() and len(label) < 10 and int(label) < len(class_names):
        index = int(label)
    if index is None:
        raise click.UsageError(
            f"--label {label}: choose from {', '.join(class_names)}, or 0 to {len(class_names) - 1}."
        )
    return index
