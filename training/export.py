"""A run's averaged generator -> models/<name>/: the file that is served, its card and sample pictures."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import onnx
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service import golden
from service.contract import SCHEMA, Contract, ImageShape, slug, write
from service.model import CARD, FILE, Model
from service.settings import Settings as ServiceSettings
from training.card import SAMPLES, card, sample_grid, train_command
from training.checkpoint import TrainedGenerator, load_generator
from training.errors import UserError
from training.evaluate import Evaluation, cache_folder, evaluate, judges_of
from training.files import write_atomically
from training.formats import load
from training.generated import Source, open_model, torch_forward
from training.onnx_graph import check_parity, multiply_adds, to_graph
from training.quality.judging import JUDGES

GOLDEN_SAMPLES = 10


@click.command("export")
@click.option(
    "--run",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A run folder, or a checkpoint file.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="The data set: with it the served file is evaluated, and the figures go into file and card.",
)
@click.option(
    "--model",
    type=click.Path(file_okay=False, path_type=Path),
    help="The model's folder, whose name is the model's; models/ and the data set's name if not given.",
)
@click.option(
    "--judge",
    "judges",
    type=click.Choice(list(JUDGES)),
    multiple=True,
    default=list(JUDGES),
    help="Judge of the evaluation; may be repeated. All of them if not given.",
)
@click.option(
    "--images", "count", type=click.IntRange(1), default=10_000, show_default=True, help="Images evaluated."
)
@click.option(
    "--judge-images", type=click.IntRange(1), help="Another length of the judges' training, in images."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads; all if not given.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder of trained judges.")
@click.option("--about-data", help="For the card: what the images are, whose, and under which licence.")
def export_command(
    run: Path,
    data: Path | None,
    model: Path | None,
    judges: tuple[str, ...],
    count: int,
    judge_images: int | None,
    threads: int | None,
    cache: Path | None,
    about_data: str | None,
) -> None:
    """Write a run's averaged generator as an ONNX file, with a card and sample pictures.

    Nothing is written unless the file draws the trained network's pictures, alone and in batches,
    and loads with the code that will serve it. A model of that name stays as it was until then.
    """
    if threads:
        torch.set_num_threads(threads)
    trained = load_generator(run)
    dataset = None if data is None else load(data)
    model = model or Path("models") / slug(trained.spec.dataset)
    name = model.resolve().name
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise UserError(
            f"--model {model}: a model's name has lower-case letters, digits and . _ - only, at most 64"
        )
    console = Console(stderr=True)
    console.print(
        f"Exporting {trained.spec.dataset} after {trained.images_seen:,} images ...", highlight=False
    )

    def measure(source: Source) -> Evaluation:
        assert dataset is not None
        with Progress(console=console) as progress:
            chosen = judges_of(judges, None, judge_images)
            return evaluate(source, dataset, chosen, cache or cache_folder(), progress, count)

    with threadpool_limits(threads):
        size = export(trained, model, measure if dataset else None, threads or 0, about_data)
    console.print(f"{model}: {FILE} ({size / 2**20:.2f} MiB), {CARD}, {SAMPLES}", highlight=False)


def export(
    trained: TrainedGenerator,
    model: Path,
    measure: Callable[[Source], Evaluation] | None,
    threads: int = 0,
    about_data: str | None = None,
) -> int:
    """Writes the model's folder; returns the size of its file in bytes.

    measure: evaluates the file as it is served; its figures go into file and card.
    Raises UserError, and then leaves a model of that name as it was.
    """
    name = model.resolve().name
    graph, contract = build(trained, name)
    model.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=".partial-") as partial:
        folder = Path(partial) / name  # the service reads the model's name off its folder
        folder.mkdir()
        source = install(graph, contract, folder, threads)
        if measure is not None:
            contract = with_quality(contract, measure(source))
            source = install(graph, contract, folder, threads)
        (folder / SAMPLES).write_bytes(sample_grid(source))
        file = (folder / FILE).read_bytes()
        (folder / CARD).write_text(card(contract, file, source.origin, about_data), "utf-8")
        return publish(folder, model)


def build(trained: TrainedGenerator, name: str) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what the file will say of itself. Raises UserError unless the two draw the same pictures."""
    spec, forward = trained.spec, torch_forward(trained)
    graph = to_graph(trained)
    seeds = range(max(GOLDEN_SAMPLES, min(spec.classes, 16)))
    labels = None if trained.class_names is None else [seed % spec.classes for seed in seeds]
    contract = Contract(
        schema=SCHEMA,
        name=name,
        z_dim=trained.settings.z_dim,
        classes=None if trained.class_names is None else list(trained.class_names),
        image=ImageShape(spec.channels, spec.height, spec.width),
        golden=golden.make(forward, trained.settings.z_dim, seeds, labels),
        training=training_facts(trained, graph),
    )
    check_parity(write(graph, contract), contract, forward)
    return graph, contract


def training_facts(trained: TrainedGenerator, graph: onnx.ModelProto) -> dict[str, Any]:
    """Where the weights come from, in JSON types."""
    settings = trained.settings.to_json()
    return {
        "dataset": trained.spec.dataset,
        "images_seen": trained.images_seen,
        "network": trained.settings.network,
        "loss": trained.settings.loss,
        "parameters": sum(parameter.numel() for parameter in trained.generator.parameters()),
        "multiply_adds": multiply_adds(graph),
        "command": train_command(trained.settings, trained.spec.dataset),
        "settings": settings,
        "configuration": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12],
        "torch": str(torch.__version__),
    }


def with_quality(contract: Contract, evaluation: Evaluation) -> Contract:
    document = evaluation.to_json()
    # The version is a hash of the whole file, and so can't be said inside it.
    document["origin"].pop("version", None)
    return msgspec.structs.replace(contract, quality=document)


def install(graph: onnx.ModelProto, contract: Contract, folder: Path, threads: int) -> Source:
    """Writes the file, loads it as the service will, and opens it. Raises UserError if it would not be served."""
    (folder / FILE).write_bytes(write(graph, contract))
    served = Model(folder)
    served.load(ServiceSettings(threads=threads))
    if served.state == "failed":
        raise UserError(f"not exported: the service would not load it: {served.problem}")
    return open_model(folder / FILE, threads=threads)


def publish(folder: Path, destination: Path) -> int:
    """Moves the finished files into place, each atomically, the generator first. Returns its size in bytes."""
    destination.mkdir(parents=True, exist_ok=True)
    for file in (FILE, SAMPLES, CARD):
        write_atomically(destination / file, (folder / file).read_bytes())
    return (destination / FILE).stat().st_size
