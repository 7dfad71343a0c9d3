"""`python -m training evaluate`: figures of a run or an exported model, printed."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import AS_JSON, CACHE, JUDGE_IMAGES, SEVERAL_JUDGES, THREADS, choice, whole
from training.commands.sources import EXISTING, data
from training.data.formats import load
from training.errors import UserError
from training.evaluation.evaluate import check_match, evaluate_beside
from training.evaluation.generated import open_model, open_run, open_url
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import MIN_IMAGES, reference
from training.evaluation.report import print_tables


@click.command("evaluate")
@click.option("--run", type=EXISTING, help="A run folder, or a checkpoint file: evaluated in torch.")
@click.option("--model", type=EXISTING, help="Or an exported model: evaluated on the engine that serves it.")
@click.option("--url", help="Or a running service, by its public API (its key: GANSERVE_API_KEY).")
@click.option("--name", help="With --url: which of its models; its default if not given.")
@data("The data set it was trained on, in any form that `train` takes.")
@whole("--images", "Generated images, and as many real ones, where there are so many.", 10_000, MIN_IMAGES)
@whole("--draws", "Of so many images each, from other seeds: their spread is the error that seeds make.", 3)
@SEVERAL_JUDGES
@click.option("--judge-seed", type=click.IntRange(0), help="Another seed for the judges than their own.")
@JUDGE_IMAGES
@choice("--engine", ["auto", "onnxruntime", "openvino"], "What runs a model.")
@choice("--precision", ["auto", "fp32", "bf16", "fp16"], "Arithmetic of the engine.")
@THREADS
@CACHE
@AS_JSON
def command(
    run: Path | None,
    model: Path | None,
    url: str | None,
    name: str | None,
    data: Path,
    images: int,
    draws: int,
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
    if sum(where is not None for where in (run, model, url)) != 1:
        raise UserError(
            "give either --run, a run folder or checkpoint, --model, an exported model, or --url, a service"
        )
    if model is None and (engine, precision) != ("auto", "auto"):
        raise UserError(
            "--engine and --precision are for an exported --model; a run is evaluated in torch, in fp32, "
            "a service as it serves"
        )
    if run is not None:
        source = open_run(run)
    elif url is not None:
        source = open_url(url, name)
    else:
        assert model is not None
        source = open_model(model, engine, precision, threads or 0)
    dataset, chosen = load(data), judges_of(judges, judge_images, judge_seed)
    check_match(source, dataset)
    with threadpool_limits(threads), Progress(console=Console(stderr=True)) as progress:
        real = reference(dataset, chosen, cache, progress, images)
        evaluation = evaluate_beside(real, source, progress, images, draws)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        print_tables(evaluation.to_json(), Console())
