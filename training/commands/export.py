"""`python -m training export`: a run as the file that is served, with its figures."""

import re
from functools import cache as once
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from service.generator.classes import slug
from service.generator.loading import CARD, FILE
from training.commands.options import ABOUT_DATA, CACHE, JUDGE_IMAGES, SEVERAL_JUDGES, THREADS, flag, whole
from training.commands.sources import EXISTING, FOLDER, data
from training.data.formats import load
from training.errors import UserError
from training.evaluation.evaluate import Evaluation, check_match, evaluate_beside
from training.evaluation.generated import Source, open_model, open_run
from training.evaluation.quality.judging import judges_of
from training.evaluation.reference import Reference, reference, size_of, without_floors
from training.export.card import SAMPLES
from training.export.export import add_figures, add_precisions, export
from training.export.gate import require
from training.export.precisions import open_precisions
from training.export.watch import write_watch
from training.run.checkpoint import load_generator

# Of seeds, in file and card.
DRAWS = 3
MORE_THAN_NONE = click.FloatRange(0, min_open=True)


@click.command("export")
@click.option("--run", type=EXISTING, help="A run folder, or a checkpoint file.")
@flag(
    "--precisions",
    "Instead of a run: judge the --model in fp32 and in what may be faster (OpenVINO's bf16, on a GPU tf32 and fp16), for file and card.",
)
@flag("--figures", "Instead of a run: evaluate the --model that is there, for file and card.")
@flag(
    "--watch",
    "Instead of a run: write generator.watch beside the --model that is there, by the last --judge.",
)
@data("The data set: with it the served file is evaluated, and the figures go into file and card.", False)
@click.option(
    "--model", type=FOLDER, help="The model's folder; models/ and the data set's name if not given."
)
@SEVERAL_JUDGES
@whole("--images", "Images evaluated.", 10_000)
@click.option("--max-fid", type=MORE_THAN_NONE, help="Refuse a Fréchet distance of more times its floor.")
@click.option("--min-class-accuracy", type=click.FloatRange(0, 1), help="Refuse a class accuracy below it.")
@JUDGE_IMAGES
@THREADS
@CACHE
@flag("--mix-classes", "The file takes weights over classes, so that there is a way between two.")
@ABOUT_DATA
def command(
    run: Path | None,
    precisions: bool,
    figures: bool,
    watch: bool,
    data: Path | None,
    model: Path | None,
    judges: tuple[str, ...],
    images: int,
    max_fid: float | None,
    min_class_accuracy: float | None,
    judge_images: int | None,
    threads: int | None,
    cache: Path,
    mix_classes: bool,
    about_data: str | None,
) -> None:
    """Write a run's averaged generator as an ONNX file, with a card and sample pictures.

    Nothing is written unless the file draws the trained network's pictures, alone and in batches,
    and loads with the code that will serve it. A model of that name stays as it was until then.
    With --data a judge and its reference go beside it as generator.watch, by which the service can watch what it draws.
    Evaluated where OpenVINO has bf16, or on a GPU, the file also says whether other precisions are as good as fp32 (--precisions adds it later).
    """
    console, dataset = Console(stderr=True), None if data is None else load(data)
    if dataset is None and (max_fid, min_class_accuracy) != (None, None):
        raise UserError("--max-fid and --min-class-accuracy need --data: nothing is measured without")

    named = judges_of(judges[-1:] if watch else judges, judge_images)
    if dataset is not None:
        # Known now, and not after minutes.
        size_of(dataset, named, images)

    @once
    def real() -> Reference:
        assert dataset is not None
        return (without_floors if precisions else reference)(dataset, named, cache, progress, images)

    def measure(source: Source) -> Evaluation:
        assert dataset is not None
        check_match(source, dataset)
        evaluation = evaluate_beside(real(), source, progress, images, DRAWS)
        require(evaluation, max_fid, min_class_accuracy)
        return evaluation

    if run is None or precisions or figures or watch:
        if run is not None or precisions + figures + watch != 1 or model is None or dataset is None:
            raise UserError(
                "give either --run, or one of --precisions, --figures and --watch with --model and --data"
            )
        check_match(open_model(model, threads=threads or 0), dataset)
        with threadpool_limits(threads), Progress(console=console) as progress:
            if figures:
                add_figures(model, measure, threads or 0)
            if figures or watch:
                write_watch(model, real(), threads or 0)
            else:
                sources = open_precisions(model, threads or 0)
                add_precisions(model, sources, real(), progress, threads or 0)
        return
    trained = load_generator(run)
    model = model or Path("models") / slug(trained.spec.dataset)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", model.resolve().name):
        raise UserError(
            f"--model {model}: a model's name has lower-case letters, digits and . _ - only, at most 64"
        )
    if dataset is not None:
        check_match(open_run(run), dataset)
    begun = f"Exporting {trained.spec.dataset} after {trained.images_seen:,} images ..."
    console.print(begun, highlight=False)
    with threadpool_limits(threads), Progress(console=console) as progress:
        size = export(trained, model, measure if dataset else None, threads or 0, about_data, mix_classes)
        if dataset:
            try:
                sources = open_precisions(model, threads or 0)
            except UserError as error:
                console.print(f"Precisions were not compared: {error}", highlight=False, soft_wrap=True)
            else:
                add_precisions(model, sources, real(), progress, threads or 0)
            write_watch(model, real(), threads or 0)
    console.print(f"{model}: {FILE} ({size / 2**20:.2f} MiB), {CARD}, {SAMPLES}", highlight=False)
