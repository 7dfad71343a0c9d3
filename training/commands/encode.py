"""`python -m training encode`: the way back, from a picture to the z that a generator draws it from."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from threadpoolctl import threadpool_limits

from service.generator.encoder import parse
from training.commands.options import CACHE, JUDGE, JUDGE_IMAGES, THREADS, flag, whole
from training.commands.sources import EXISTING, data
from training.data.dataset import Dataset
from training.data.formats import load
from training.encoding import export
from training.encoding.fit import Recipe, Target, fit, target
from training.encoding.measure import HEAD, measure, rows, words
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import judge_for, judges_of, length
from training.evaluation.reference import bar

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
@flag("--no-pixels", "It learns z and classes alone, and not to give real pictures back.")
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
    images: int,
    batch: int,
    width: int,
    seed: int,
    no_pixels: bool,
    figures: bool,
    pictures: int,
    steps: int,
    judge: str,
    judge_images: int | None,
    threads: int | None,
    cache: Path,
) -> None:
    """Train an encoder for the generator MODEL, a folder or an .onnx file: the service finds the z of pictures by it.

    It needs no checkpoint, so that imported generators can have one. It is written as generator.encoder beside the
    generator, and its figures into it and the generator's card: what it gives back of held-out real pictures, beside the
    nearest training images and a search in z. Stopped while it trains, it leaves everything as it was.
    """
    if threads:
        torch.set_num_threads(threads)
    console, dataset = Console(stderr=True), load(data)
    of = target(model, dataset, threads or 0)
    dataset = dataset if of.contract.classes else dataset.as_one_class()
    if of.gradient is None:
        console.print(f"Without errors in pixels: {of.why_none}", soft_wrap=True, markup=False)
    with threadpool_limits(threads), Progress(console=console) as progress:
        if figures:
            file = export.read(of)
        else:
            recipe = Recipe(images, batch, seed, width, pixels=0.0 if no_pixels else DEFAULT.pixels)
            file = trained(of, dataset, recipe, data, progress)
            # Before the figures: a judge, where none is kept, takes minutes.
            export.install(file, of, dataset)
        (settings,) = judges_of([judge], judge_images)
        done = bar(progress, f"judge {judge}", length(dataset, settings))
        eyes = judge_for(dataset, settings, cache, done)
        file = measured(file, of, dataset, eyes, pictures, steps, progress)
        export.install(file, of, dataset)
    show(parse(file).quality)


def trained(of: Target, dataset: Dataset, recipe: Recipe, data: Path, progress: Progress) -> bytes:
    task = progress.add_task("encoder", total=recipe.images)
    encoder = fit(of, dataset, recipe, lambda done, how: progress.update(task, advance=done, description=how))
    words = ["python", "-m", "training", "encode", str(of.file.parent), "--data", str(data)]
    for name in ("images", "batch", "width", "seed"):
        if (value := getattr(recipe, name)) != getattr(DEFAULT, name):
            words += [f"--{name}", str(value)]
    words += [] if recipe.pixels else ["--no-pixels"]
    about = {"dataset": dataset.name, "command": shlex.join(words), "torch": str(torch.__version__)}
    parameters = sum(one.numel() for one in encoder.parameters())
    return export.to_file(encoder, of, about | {"parameters": parameters, "settings": asdict(recipe)})


def measured(
    file: bytes, of: Target, dataset: Dataset, judge: Judge, pictures: int, steps: int, progress: Progress
) -> bytes:
    done = bar(progress, "compare", 5)
    quality = measure(export.opened(file), of, dataset, judge, pictures, steps, done)
    return export.with_document(file, quality=quality)


def show(quality: dict[str, Any]) -> None:
    console, table = Console(), Table(*HEAD)
    for row in rows(quality):
        table.add_row(*row)
    console.print(table)
    console.print(words(quality), highlight=False, soft_wrap=True)
