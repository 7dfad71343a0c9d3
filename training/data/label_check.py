"""What to look at before training: counts, and one picture per class. Wrong labels show here in a second."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from service.generator.images import grid
from training.data.dataset import Dataset, Pixels

# Under so many training images the discriminator begins to memorise them (Zhao et al. 2020, figure 1).
FEW_IMAGES = 10_000
# Pictures of another range than 0 to 255, 0 to 1 for one, that say nothing of it.
DARK, LIGHT = 64, 126


def counts(dataset: Dataset) -> list[tuple[str, int, int]]:
    """Training and test images of each class."""
    names, parts = dataset.class_names, (dataset.labels, dataset.test_labels)
    training, test = (np.bincount(labels, minlength=len(names)).tolist() for labels in parts)
    return list(zip(names, training, test, strict=True))


def remarks(dataset: Dataset) -> Iterator[str]:
    """What is allowed and yet worth a sentence."""
    rows = counts(dataset)
    if without := [name for name, _, test in rows if test == 0]:
        yield f"no test image of {', '.join(without)}: `evaluate` cannot judge these classes"
    most, (rarest, least, _) = max(count for _, count, _ in rows), min(rows, key=lambda row: row[1])
    if most > 10 * least:
        yield f"'{rarest}' has {least:,} training images and another class {most:,}: rare classes come out worst"
    for which, images, labels in (
        ("training", dataset.images, dataset.labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        own = [labels == i for i in range(len(rows))]
        for odd, how in (
            (images.max(axis=(1, 2, 3)) < DARK, f"darker than {DARK}"),
            (images.min(axis=(1, 2, 3)) > LIGHT, f"brighter than {LIGHT}"),
        ):
            if names := [row[0] for row, its in zip(rows, own, strict=True) if its.any() and odd[its].all()]:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                yield (
                    f"every pixel of the {which} images of {', '.join(names[:5])}{more} is {how} of 255: "
                    "perhaps they have another range"
                )
    if (total := len(dataset.images)) < FEW_IMAGES:
        yield (
            f"{total:,} training images are few: train with --augment brightness,translation,cutout "
            "(and saturation,contrast for colour)"
        )


def one_of_each(dataset: Dataset) -> Pixels:
    """The first training image of each class, in the order of the classes: uint8 [C, rows * H, columns * W]."""
    first = [int(np.flatnonzero(dataset.labels == label)[0]) for label in range(len(dataset.class_names))]
    return grid(dataset.images[first], columns=min(10, len(first)))


def show(dataset: Dataset, console: Console) -> None:
    """Print the counts, the remarks, and what the images are."""
    table = Table("class", "training images", "test images", title=dataset.name)
    for name, training, test in counts(dataset):
        table.add_row(name, f"{training:,}", f"{test:,}")
    console.print(table, markup=False)
    spec, colour = dataset.spec, "grey" if dataset.spec.channels == 1 else "RGB"
    what = (
        f"{len(dataset.images):,} training images and {len(dataset.test_images):,} test images ({dataset.split}), "
        f"{spec.width}x{spec.height}, {colour}"
    )
    for line in (*(f"Note: {remark}." for remark in (*dataset.notes, *remarks(dataset))), what):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
