"""`python -m training evaluate`: figures of a run or an exported model, printed."""

import json
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, JUDGE_IMAGES, THREADS, judges
from training.commands.sources import EXISTING, data
from training.data.formats import load
from training.errors import UserError
from training.evaluation.evaluate import evaluate
from training.evaluation.generated import Source, open_model, open_run, open_url
from training.evaluation.quality.judging import JUDGES, judges_of
from training.evaluation.reference import MIN_IMAGES
from training.evaluation.report import print_tables


@click.command("evaluate")
@click.option(
    "--run",
    type=EXISTING,
    help="A run folder, or a checkpoint file: evaluated in torch.",
)
@click.option(
    "--model",
    type=EXISTING,
    help="Instead of a run: an exported model's folder, or its .onnx file, evaluated on the engine that serves it.",
)
@click.option(
    "--url",
    help="Instead of a run: a running service, asked by its public API (http://localhost:3000; key: GANSERVE_API_KEY).",
)
@click.option("--name", help="With --url: which of its models; its default if not given.")
@data("The data set it was trained on, in any form that `train` takes.")
@click.option(
    "--images",
    "count",
    type=click.IntRange(MIN_IMAGES),
    default=10_000,
    show_default=True,
    help="Generated images, and as many real ones; fewer where the data set has fewer.",
)
@click.option(
    "--draws",
    "several",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Of so many images each, from other seeds: their spread is the error that seeds make.",
)
@judges(default=list(JUDGES))
@click.option("--judge-seed", type=click.IntRange(0), help="Another seed for the judges than their own.")
@JUDGE_IMAGES
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
@THREADS
@CACHE
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    run: Path | None,
    model: Path | None,
    url: str | None,
    name: str | None,
    data: Path,
    count: int,
    several: int,
    judges: tuple[str, ...],
    judge_seed: int | None,
    judge_images: int | None,
    engine: str,
    precision: str,
    threads: int | None,
    cache: Path,
    as_json: bool,
) -> None:
    """Measure a generator's images beside real ones.

    Each figure stands beside its floor, what as many real images reach in their place. A judge is trained
    once per data set, on half of its training images, and kept; the floor comes from the other half. While
    you choose between checkpoints take `--judge plain` alone: the others then stay impartial.
    """
    if threads:
        torch.set_num_threads(threads)
    source = open_chosen(run, model, url, name, engine, precision, threads or 0)
    chosen = judges_of(judges, judge_images, judge_seed)
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        evaluation = evaluate(source, load(data), chosen, cache, progress, count, several)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        print_tables(evaluation.to_json(), Console())


def open_chosen(
    run: Path | None,
    model: Path | None,
    url: str | None,
    name: str | None,
    engine: str,
    precision: str,
    threads: int,
) -> Source:
    """Whichever of the three was given. Raises UserError."""
    if sum(where is not None for where in (run, model, url)) != 1:
        raise UserError(
            "give either --run, a run folder or checkpoint, --model, an exported model, or --url, a service"
        )
    if model is not None:
        return open_model(model, engine, precision, threads)
    if engine != "auto" or precision != "auto":
        raise UserError(
            "--engine and --precision are for an exported --model; a run is evaluated in torch, in fp32, "
            "a service as it serves"
        )
    if url is not None:
        return open_url(url, name)
    assert run is not None
    return open_run(run)
