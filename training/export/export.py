"""A run's averaged generator -> models/<name>/: the file that is served, its card and sample pictures."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import onnx
import torch
from rich.progress import Progress
from torch import nn

from service.errors import ContractError
from service.generator import encoder, golden, loading
from service.generator.contract import SCHEMA, SCHEMA_OF_ROLES, Contract, ImageShape, parse, version, write
from service.generator.engine import Forward
from service.generator.file.inputs import Input
from service.generator.file.mixed import mixed
from service.generator.loading import CARD, FILE
from service.settings import Settings as ServiceSettings
from training.errors import refused
from training.evaluation.evaluate import Evaluation
from training.evaluation.generated import Source, open_model, torch_forward
from training.evaluation.reference import Reference
from training.export.card import SAMPLES, card, sample_grid, train_command, with_figures, with_precisions
from training.export.onnx_graph import Rows, check_parity, multiply_adds, to_graph
from training.export.precisions import precisions
from training.files import write_atomically
from training.gan.draws import declared
from training.run.checkpoint import Header, TrainedGenerator
from training.run.transfer import said

GOLDEN_SAMPLES = 10


def export(
    trained: TrainedGenerator,
    model: Path,
    measure: Callable[[Source], Evaluation] | None,
    threads: int = 0,
    about_data: str | None = None,
    mix: bool = False,
) -> int:
    """Writes the model's folder; returns the size of its file in bytes.

    measure: evaluates the file as it is served; its figures go into file and card. mix: it takes weights over classes.
    Raises UserError, and then leaves a model of that name as it was.
    """
    graph, contract = build(trained, model.resolve().name, mix)
    with staged(model) as folder:
        source = install(graph, contract, folder, threads)
        if measure is not None:
            contract = with_quality(contract, measure(source))
            source = install(graph, contract, folder, threads)
        (folder / SAMPLES).write_bytes(sample_grid(source))
        file = (folder / FILE).read_bytes()
        (folder / CARD).write_text(card(contract, file, source.origin, about_data), "utf-8")
    return (model / FILE).stat().st_size


def add_precisions(
    model: Path, sources: Sequence[Source], real: Reference, progress: Progress, threads: int = 0
) -> None:
    """Judges the model in each precision; the figures, and the file's new SHA-256, go into file and card.

    sources: of `open_precisions`. The graph stays: the file becomes another version that draws the same pictures.
    Raises UserError, and then leaves the model as it was.
    """
    contract = parse((model / FILE).read_bytes())
    new = precisions(sources, real, progress)
    kept = [run for run in contract.quality.get("precisions", []) if run["engine"] != new[0]["engine"]]
    quality = contract.quality | {"precisions": [*kept, *new]}
    rewrite(model, msgspec.structs.replace(contract, quality=quality), with_precisions, threads)


def add_figures(model: Path, measure: Callable[[Source], Evaluation], threads: int = 0) -> None:
    """Evaluates the model that is there as it is served; the figures go into file and card as if just exported.

    Raises UserError, and then leaves the model as it was.
    """
    before = (model / FILE).read_bytes()
    contract = parse(before)
    kept = {name: contract.quality[name] for name in ("precisions",) if name in contract.quality}
    contract = with_quality(contract, measure(open_model(model, threads=threads)))
    rewrite(model, msgspec.structs.replace(contract, quality=contract.quality | kept), with_figures, threads)


def rewrite(
    model: Path, contract: Contract, changed: Callable[[str, Contract, bytes, bytes], str], threads: int
) -> None:
    """The model with another contract: the graph stays, the card is changed, and its encoder stays its own. Raises UserError."""
    before, card = (model / FILE).read_bytes(), model / CARD
    graph = onnx.load_model_from_string(before)
    with staged(model) as folder:
        if card.exists():
            text = changed(card.read_text("utf-8"), contract, before, write(graph, contract))
            (folder / CARD).write_text(text, "utf-8")
        install(graph, contract, folder, threads)
    path = encoder.encoder_of(model / FILE)
    with suppress(ContractError, FileNotFoundError):  # what was no encoder of this model is none now
        file = path.read_bytes()
        if encoder.parse(file).generator == version(before):
            write_atomically(path, with_document(file, generator=version((model / FILE).read_bytes())))


def with_document(file: bytes, **changes: Any) -> bytes:
    """An encoder's file that says something else of itself. Raises ContractError."""
    document = msgspec.structs.replace(encoder.parse(file), **changes)
    return encoder.write(onnx.load_model_from_string(file), document)


def build(trained: TrainedGenerator, name: str, mix: bool = False) -> tuple[onnx.ModelProto, Contract]:
    """The graph, and what the file will say of itself. Raises UserError unless the two draw the same pictures."""
    settings = trained.settings
    graph = to_graph(trained)
    contract = contract_of(
        name,
        trained.generator,
        graph,
        Header(settings, trained.spec, trained.images_seen),
        declared(settings),
        settings.z_dim,
        trained.class_names,
        network=settings.network,
        loss=settings.loss,
        command=train_command(settings, trained.spec.dataset),
        **({"origin": said(trained.origin, settings)} if trained.origin else {}),
        configuration=hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode()).hexdigest()[:12],
    )
    if mix:
        with refused("not exported", ContractError):
            graph, contract = mixed(graph, contract)
    seeds = range(max(GOLDEN_SAMPLES, min(trained.spec.classes, 16)))
    return graph, sealed(graph, contract, torch_forward(trained), seeds)


def contract_of(
    name: str,
    generator: nn.Module,
    graph: onnx.ModelProto,
    run: Header,
    inputs: list[Input] | None,
    z_dim: int,
    classes: Sequence[str] | None = None,
    **more: Any,
) -> Contract:
    """What a file says of itself, but for golden samples and figures.

    inputs: None where z and label are all. more: where the weights come from, beside what is said of all, in JSON types.
    """
    spec = run.spec
    training = {
        "dataset": spec.dataset,
        "images_seen": run.images_seen,
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "multiply_adds": multiply_adds(graph),
        "settings": asdict(run.settings),
        "torch": str(torch.__version__),
    }
    return Contract(
        schema=SCHEMA if inputs is None else SCHEMA_OF_ROLES,
        name=name,
        z_dim=z_dim,
        classes=None if classes is None else list(classes),
        image=ImageShape(spec.channels, spec.height, spec.width),
        inputs=inputs,
        training=training | more,
    )


def sealed(
    graph: onnx.ModelProto,
    contract: Contract,
    forward: Forward,
    seeds: Sequence[int] = range(GOLDEN_SAMPLES),
    rows: Rows | None = None,
) -> Contract:
    """With golden samples of these seeds, by `forward`, the network. rows: see `check_parity`.

    Raises UserError unless ONNX Runtime draws the network's pictures.
    """
    labels = None if contract.classes is None else [seed % contract.class_count for seed in seeds]
    texts = contract.texts(seeds)
    samples = golden.make(forward, contract.z_dim, seeds, labels, contract.rows(seeds, texts), texts)
    contract = msgspec.structs.replace(contract, golden=samples)
    check_parity(write(graph, contract), contract, forward, rows)
    return contract


def with_quality(contract: Contract, evaluation: Evaluation) -> Contract:
    document = evaluation.to_json()
    # The version is a hash of the whole file, and so can't be said inside it.
    document["origin"].pop("version", None)
    return msgspec.structs.replace(contract, quality=document)


def install(graph: onnx.ModelProto, contract: Contract, folder: Path, threads: int) -> Source:
    """Writes the file, loads it as the service will, and opens it. Raises UserError if it would not be served."""
    (folder / FILE).write_bytes(write(graph, contract))
    # An engine may raise anything on a file that it can't run.
    with refused("not written: the service would not load it", Exception):
        loading.load(loading.read(folder / FILE), ServiceSettings(threads=threads))
    return open_model(folder / FILE, threads=threads)


@contextmanager
def staged(model: Path) -> Iterator[Path]:
    """A folder whose files then replace the model's, each atomically, the generator first; what it lacks stays as it was."""
    model.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=".partial-") as partial:
        folder = Path(partial) / model.resolve().name  # the service reads the model's name off its folder
        folder.mkdir()
        yield folder
        model.mkdir(exist_ok=True)
        for file in (FILE, SAMPLES, CARD):
            if (folder / file).exists():
                write_atomically(model / file, (folder / file).read_bytes())
