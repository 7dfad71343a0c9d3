"""`python -m training encode`: the way back, from a picture to the z that a generator draws it from."""

import shlex
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from threadpoolctl import threadpool_limits

from service.generator.golden import difference
from training.commands.options import CACHE, JUDGE, JUDGE_IMAGES, THREADS, flag, whole
from training.commands.sources import EXISTING, data
from training.data.dataset import Dataset
from training.data.formats import load
from training.encoding import export
from training.encoding.fit import COMPARED, SEES, Recipe, Target, fit, target
from training.encoding.measure import HEAD, measure, rows, words
from training.errors import UserError
from training.evaluation.generated import torch_forward
from training.evaluation.quality.judge import Judge
from training.evaluation.reference import bar, judge_by
from training.export.card import train_command
from training.run.checkpoint import load_generator

DEFAULT = Recipe()


@click.command("encode")
@click.argument("model", type=EXISTING)
@data("The data set that it was trained on, in any form that `train` takes.")
@whole("--images", "Of the generator's own pictures, and of real ones, that it learns from.", DEFAULT.images)
@whole("--batch", "Of each of them in an update.", DEFAULT.batch, 2)
@whole(
    "--width",
    "Of its first layer, in channels; twice as many make a file four times as large.",
    DEFAULT.width,
)
@whole("--seed", "Decides weights, order of the images and latents.", DEFAULT.seed, 0)
@click.option(
    "--run",
    type=EXISTING,
    help="Nothing is trained: take the encoder that MODEL's run trained with it, as preset bigan does.",
)
@flag("--no-pixels", "It learns z and classes alone, and not to give real pictures back.")
@click.option(
    "--features",
    type=click.FloatRange(0),
    default=DEFAULT.features,
    show_default=True,
    help=f"Weight of the distance between a real picture and what comes back, in features of judge '{SEES}', where 0.5 is a good try.",
)
@flag(
    "--figures",
    "Nothing is trained: measure the encoder that is there, and put the figures into file and card.",
)
@whole("--pictures", "Held-out pictures that it is measured on, beside other ways.", 300, 2)
@whole("--steps", "Of Adam, one of those ways.", 200)
@JUDGE
@JUDGE_IMAGES
@THREADS
@CACHE
def command(
    model: Path,
    data: Path,
    run: Path | None,
    no_pixels: bool,
    figures: bool,
    pictures: int,
    steps: int,
    judge: str,
    judge_images: int | None,
    threads: int | None,
    cache: Path,
    **named: Any,
) -> None:
    """Train an encoder for the generator MODEL, a folder or an .onnx file: the service finds the z of pictures by it.

    It needs no checkpoint, so that imported generators can have one. It is written as generator.encoder beside the
    generator, and its figures into it and the generator's card: what it gives back of held-out real pictures, beside the
    nearest training images and a search in z. Stopped while it trains, it leaves everything as it was.
    """
    recipe = Recipe(pixels=0.0 if no_pixels else DEFAULT.pixels, **named)
    if recipe.features and judge == SEES:
        raise UserError(f"--judge {judge} would judge its own features: measure by another")
    console, dataset = Console(stderr=True), load(data)
    of = target(model, dataset, threads or 0)
    dataset = dataset if of.contract.classes else dataset.as_one_class()
    if of.gradient is None:
        console.print(f"Without errors in pixels: {of.why_none}", soft_wrap=True, markup=False)
    with threadpool_limits(threads), Progress(console=console) as progress:
        if figures:
            file = export.read(of)
        else:
            if run is None:
                sees = judge_by(dataset, SEES, judge_images, cache, progress)[0] if recipe.features else None
                file = trained(of, dataset, recipe, data, progress, sees)
            else:
                file = of_run(of, run)
            # Before the figures: a judge, where none is kept, takes minutes.
            export.install(file, of, dataset)
        eyes, _ = judge_by(dataset, judge, judge_images, cache, progress)
        done = bar(progress, "compare", 5)
        quality = measure(export.opened(file), of, dataset, eyes, pictures, steps, done)
        export.install(export.with_document(file, quality=quality), of, dataset)
    show(quality)


def trained(
    of: Target, dataset: Dataset, recipe: Recipe, data: Path, progress: Progress, sees: Judge | None
) -> bytes:
    task = progress.add_task("encoder", total=recipe.images)

    def advance(done: int, how: str) -> None:
        progress.update(task, advance=done, description=how)

    encoder = fit(of, dataset, recipe, advance, sees and sees.network.trunk)
    words = ["python", "-m", "training", "encode", str(of.file.parent), "--data", str(data)]
    for name in ("images", "batch", "width", "seed", "features"):
        if (value := getattr(recipe, name)) != getattr(DEFAULT, name):
            words += [f"--{name}", str(value)]
    words += [] if recipe.pixels else ["--no-pixels"]
    return export.to_file(encoder, of, dataset.name, shlex.join(words), recipe)


def of_run(of: Target, run: Path) -> bytes:
    """The encoder that was trained with the generator. Raises UserError: there is none, or it is of another generator."""
    found = load_generator(run)
    if found.encoder is None:
        raise UserError(
            f"{run}: its preset '{found.settings.preset}' trains no encoder; without --run, one is trained"
        )
    z = of.contract.drawn(range(COMPARED))
    if excess := difference(torch_forward(found)(z, None), of.source.forward(z, None)).excess("fp32"):
        raise UserError(f"{run} is not the run of {of.file}: {excess}")
    command = train_command(found.settings, found.spec.dataset)
    return export.to_file(found.encoder, of, found.spec.dataset, command, found.settings)


def show(quality: dict[str, Any]) -> None:
    console, table = Console(), Table(*HEAD)
    for row in rows(quality):
        table.add_row(*row)
    console.print(table)
    console.print(words(quality), highlight=False, soft_wrap=True)
