"""A run's averaged generator -> models/<name>/: the file that is served, its card and sample pictures."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import onnx
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service.generator import golden
from service.generator.classes import slug
from service.generator.contract import SCHEMA, Contract, ImageShape, parse, write
from service.registry.model import CARD, FILE, Model
from service.settings import Settings as ServiceSettings
from training.data.formats import load
from training.errors import UserError
from training.evaluation.evaluate import Evaluation, cache_folder, check_match, evaluate_beside, judges_of
from training.evaluation.generated import Source, open_model, torch_forward
from training.evaluation.quality.judging import JUDGES
from training.evaluation.reference import Reference, reference
from training.export.card import SAMPLES, card, sample_grid, train_command, with_precisions
from training.export.onnx_graph import check_parity, multiply_adds, to_graph
from training.export.precisions import open_precisions, precisions
from training.files import write_atomically
from training.run.checkpoint import TrainedGenerator, load_generator

GOLDEN_SAMPLES = 10


@click.command("export")
@click.option(
    "--run", type=click.Path(exists=True, path_type=Path), help="A run folder, or a checkpoint file."
)
@click.option(
    "--precisions",
    "only_precisions",
    is_flag=True,
    help="Instead of a run: judge the --model that is there in OpenVINO's fp32 and bf16, and add the figures to file and card.",
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
    run: Path | None,
    only_precisions: bool,
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
    Evaluated where OpenVINO has bf16, the file also says whether bf16 is as good as fp32 (--precisions adds it later).
    """
    if threads:
        torch.set_num_threads(threads)
    console, dataset = Console(stderr=True), None if data is None else load(data)
    chosen, kept = judges_of(judges, None, judge_images), cache or cache_folder()
    if run is None or only_precisions:
        if run is not None or not only_precisions or model is None or dataset is None:
            raise UserError("give either --run, or --precisions with --model and --data")
        sources = open_precisions(model, threads or 0)
        check_match(sources[0], dataset)
        with threadpool_limits(threads), Progress(console=console) as progress:
            real = reference(dataset, chosen, kept, progress, count)
            add_precisions(model, sources, real, progress, threads or 0)
        return
    trained = load_generator(run)
    model = model or Path("models") / slug(trained.spec.dataset)
    name = model.resolve().name
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise UserError(
            f"--model {model}: a model's name has lower-case letters, digits and . _ - only, at most 64"
        )
    console.print(
        f"Exporting {trained.spec.dataset} after {trained.images_seen:,} images ...", highlight=False
    )

    references: list[Reference] = []

    def measure(source: Source) -> Evaluation:
        assert dataset is not None
        check_match(source, dataset)
        references.append(reference(dataset, chosen, kept, progress, count))
        return evaluate_beside(references[0], source, progress, count)

    with threadpool_limits(threads), Progress(console=console) as progress:
        size = export(trained, model, measure if dataset else None, threads or 0, about_data)
        try:
            sources = open_precisions(model, threads or 0) if references else []
        except UserError as error:
            console.print(f"Precisions were not compared: {error}", highlight=False, soft_wrap=True)
        else:
            for real in references:
                add_precisions(model, sources, real, progress, threads or 0)
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


def add_precisions(
    model: Path, sources: Sequence[Source], real: Reference, progress: Progress, threads: int = 0
) -> None:
    """Judges the model in each precision; the figures, and the file's new SHA-256, go into file and card.

    sources: of `open_precisions`. The graph stays: the file becomes another version that draws the same pictures.
    Raises UserError, and then leaves the model as it was.
    """
    before, card = (model / FILE).read_bytes(), model / CARD
    graph, contract = onnx.load_model_from_string(before), parse(before)
    quality = contract.quality | {"precisions": precisions(sources, real, progress)}
    contract = msgspec.structs.replace(contract, quality=quality)
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=".partial-") as partial:
        folder = Path(partial) / model.resolve().name
        folder.mkdir()
        if card.exists():
            text = with_precisions(card.read_text("utf-8"), contract, before, write(graph, contract))
            (folder / CARD).write_text(text, "utf-8")
        install(graph, contract, folder, threads)
        publish(folder, model)


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
        raise UserError(f"not written: the service would not load it: {served.problem}")
    return open_model(folder / FILE, threads=threads)


def publish(folder: Path, destination: Path) -> int:
    """Moves the finished files into place, each atomically, the generator first. Returns its size in bytes.

    What `folder` lacks stays as it was.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for file in (FILE, SAMPLES, CARD):
        if (folder / file).exists():
            write_atomically(destination / file, (folder / file).read_bytes())
    return (destination / FILE).stat().st_size
