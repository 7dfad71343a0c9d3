"""How good the images are: figures of a checkpoint or a served file, each beside its floor."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.data.dataset import Dataset
from training.data.formats import load
from training.errors import UserError
from training.evaluation.generated import Source, images_of, open_model, open_run
from training.evaluation.quality.comparison import (
    Figure,
    beside,
    class_accuracies,
    in_pixels,
    judged,
    look,
    memorisation,
)
from training.evaluation.quality.judging import JUDGES, JudgeSettings
from training.evaluation.reference import MIN_IMAGES, Reference, bar, draw, reference
from training.evaluation.report import print_tables


@dataclass(frozen=True)
class Verdict:
    """One judge, and its figures by name."""

    judge: JudgeSettings
    test_accuracy: float
    figures: dict[str, Figure]
    class_accuracies: dict[str, Figure]


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured of one generator; `to_json` is what goes into files."""

    dataset: str
    split: str
    images: int
    origin: dict[str, Any]
    verdicts: list[Verdict]
    pixels: dict[str, Figure]
    """Variety and likelihood, in which no judge has a say."""
    memory: dict[str, Figure]
    """Distances to training images."""
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def cache_folder() -> Path:
    """Where trained judges are kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganserve"


@click.command("evaluate")
@click.option(
    "--run",
    type=click.Path(exists=True, path_type=Path),
    help="A run folder, or a checkpoint file: evaluated in torch.",
)
@click.option(
    "--model",
    type=click.Path(exists=True, path_type=Path),
    help="Instead of a run: an exported model's folder, or its .onnx file, evaluated on the engine that serves it.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="The data set it was trained on, in any form that `train` takes.",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(MIN_IMAGES),
    default=10_000,
    show_default=True,
    help="Generated images, and as many real ones; fewer where the data set has fewer.",
)
@click.option(
    "--judge",
    "judges",
    type=click.Choice(list(JUDGES)),
    multiple=True,
    default=["plain"],
    show_default=True,
    help="Classifier in whose features images are compared; may be repeated.",
)
@click.option("--judge-seed", type=click.IntRange(0), help="Another seed for the judges than their own.")
@click.option(
    "--judge-images", type=click.IntRange(1), help="Another length of the judges' training, in images."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "onnxruntime", "openvino"]),
    default="auto",
    show_default=True,
    help="What runs a model.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Arithmetic of the engine.",
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads; all if not given.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of trained judges; by default in the user's cache.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate_command(
    run: Path | None,
    model: Path | None,
    data: Path,
    count: int,
    judges: tuple[str, ...],
    judge_seed: int | None,
    judge_images: int | None,
    engine: str,
    precision: str,
    threads: int | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Measure a generator's images beside real ones.

    Each figure stands beside its floor, what as many real training images reach in their place. A
    judge is trained once per data set, on its training images, and kept; one that played no part in
    choosing a checkpoint (`--judge residual`) gives the figures to believe.
    """
    if threads:
        torch.set_num_threads(threads)
    source = open_chosen(run, model, engine, precision, threads or 0)
    chosen = judges_of(judges, judge_seed, judge_images)
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        evaluation = evaluate(source, load(data), chosen, cache or cache_folder(), progress, count)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        print_tables(evaluation.to_json(), Console())


def open_chosen(run: Path | None, model: Path | None, engine: str, precision: str, threads: int) -> Source:
    """Whichever of the two was given. Raises UserError."""
    if (run is None) == (model is None):
        raise UserError("give either --run, a run folder or checkpoint, or --model, an exported model")
    if model is not None:
        return open_model(model, engine, precision, threads)
    if engine != "auto" or precision != "auto":
        raise UserError(
            "--engine and --precision are for an exported --model; a run is evaluated in torch, in fp32"
        )
    assert run is not None
    return open_run(run)


def judges_of(names: Sequence[str], seed: int | None, images: int | None) -> list[JudgeSettings]:
    """The named judges, with these values changed."""
    changes = {name: value for name, value in (("seed", seed), ("images", images)) if value is not None}
    return [replace(JUDGES[name], **changes) for name in names]


def evaluate(
    source: Source,
    dataset: Dataset,
    judges: Sequence[JudgeSettings],
    cache: Path,
    progress: Progress,
    count: int = 10_000,
) -> Evaluation:
    """Compares `count` generated images, or as many as the data set has real ones, with held-out real images.

    Raises UserError: the data set is another than the generator's, or too small.
    """
    check_match(source, dataset)
    real = reference(dataset, judges, cache, progress, count)
    return evaluate_beside(real, source, progress, count)


def evaluate_beside(real: Reference, source: Source, progress: Progress, count: int) -> Evaluation:
    """The same, of a generator after another. Raises UserError: the data set is another than the generator's."""
    dataset = real.dataset
    check_match(source, dataset)
    images, labels = images_of(source, real.size, bar(progress, "generate", real.size))
    generated = draw(images, labels if source.classes else None, real.size)
    done = bar(progress, "compare", len(real.benches) + 1)
    verdicts = []
    for bench in real.benches:
        seen = look(bench.judge, generated)
        figures = beside(judged(bench.held_out, seen), bench.floors)
        by_class = class_accuracies(seen, source.classes) if source.classes else {}
        verdicts.append(
            Verdict(bench.settings, bench.judge.test_accuracy, figures, beside(by_class, bench.class_floors))
        )
        done(1)
    pixels = beside(in_pixels(real.held_out, generated), real.pixel_floors)
    memory = beside(memorisation(generated.images, dataset.images), real.memory_floors)
    done(1)
    return Evaluation(
        dataset.name,
        dataset.split,
        real.size,
        source.origin,
        verdicts,
        pixels,
        memory,
        _notes(source, dataset, count, real.size),
    )


def check_match(source: Source, dataset: Dataset) -> None:
    """Raises UserError where figures would compare different things."""
    spec, image = dataset.spec, source.image
    made, real = (image.channels, image.height, image.width), (spec.channels, spec.height, spec.width)
    if made != real:
        raise UserError(f"the generator makes images of shape {made}, data set {spec.dataset} has {real}")
    if source.classes is not None and source.classes != spec.class_names:
        raise UserError(
            f"the generator's classes are {', '.join(source.classes)}; "
            f"those of data set {spec.dataset} are {', '.join(spec.class_names)}"
        )


def _notes(source: Source, dataset: Dataset, count: int, size: int) -> list[str]:
    notes = []
    if source.classes is None:
        notes.append("The generator is not told the class: figures of single classes do not apply.")
    if size < count:
        notes.append(f"{size} images instead of {count}: the data set has no more in both splits.")
    shares = np.bincount(dataset.test_labels, minlength=len(dataset.class_names)) / len(dataset.test_labels)
    if shares.max() > 1.2 * shares.mean():
        notes.append(
            "Generated classes are equally frequent, the real ones are not: distances include that difference."
        )
    return notes
