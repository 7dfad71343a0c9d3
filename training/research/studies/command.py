"""`python -m training study NAME`: one of the experiments of docs/studies.md."""

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, JUDGE, JUDGE_IMAGES, whole
from training.commands.sources import EXISTING, FOLDER, data
from training.data.formats import load
from training.errors import UserError
from training.evaluation.evaluate import check_match
from training.evaluation.generated import Source, open_model
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import judge_for, judges_of, length
from training.evaluation.reference import MIN_IMAGES, bar, draws, floor_samples, size_of
from training.research.documents import fill_document, machine, save_json
from training.research.studies import (
    discriminator_steps,
    few_labels,
    fine_tuning,
    growing,
    inception_score,
    latent_space,
    truncation,
)
from training.research.studies.study import Program, Study
from training.run.loop import Interrupted

PROGRAMS = {
    "discriminator-steps": discriminator_steps.PROGRAM,
    "inception-score": inception_score.PROGRAM,
    "truncation": truncation.PROGRAM,
    "latent-space": latent_space.PROGRAM,
    "few-labels": few_labels.PROGRAM,
    "fine-tuning": fine_tuning.PROGRAM,
    "growing": growing.PROGRAM,
}


@click.command("study")
@click.argument("name", type=click.Choice(list(PROGRAMS)))
@data("In any form that `train` takes.")
@click.option(
    "--model",
    type=EXISTING,
    default=Path("models/fashion-mnist"),
    show_default=True,
    help="An exported generator of these images, for studies that ask for one.",
)
@click.option(
    "--out",
    type=FOLDER,
    default=Path("docs/studies"),
    show_default=True,
    help="Folder of the picture and the figures; the document is the .md of this name beside it.",
)
@whole("--images", "Judged at a time.", 5000, MIN_IMAGES)
@whole(
    "--updates", "Of both networks, in each run of a study that trains.", 3000, discriminator_steps.STOPS * 5
)
@JUDGE
@JUDGE_IMAGES
@CACHE
@click.option(
    "--work",
    type=FOLDER,
    default=Path("runs/studies"),
    show_default=True,
    help="Folder of unfinished runs: the same command goes on with them.",
)
def command(
    name: str,
    data: Path,
    model: Path,
    out: Path,
    images: int,
    updates: int,
    judge: str,
    judge_images: int | None,
    cache: Path,
    work: Path,
) -> None:
    """Run one experiment of docs/studies.md, on one CPU thread: its picture, its figures, its table."""
    torch.set_num_threads(1)
    program, dataset = PROGRAMS[name], load(data)

    @functools.cache
    def opened() -> Source:
        source = open_model(model, "onnxruntime", "fp32", threads=1)
        check_match(source, dataset)
        if source.classes is None:
            raise UserError(f"--model {model} is not told the class, which the studies ask it for")
        return source

    if program.of_model:
        opened()
    (settings,) = judges_of([judge], judge_images)
    size = size_of(dataset, [settings], images)
    console = Console(stderr=True)
    with threadpool_limits(1), Progress(console=console) as progress:

        def trained() -> Judge:
            judging = bar(progress, f"judge {judge}", length(dataset, settings))
            return judge_for(dataset, settings, cache, judging)

        (held_out,) = draws(dataset.test_images, dataset.test_labels, size, most=1)
        training = floor_samples(dataset, settings, size)[0]
        study = Study(dataset, trained, held_out, training, opened, updates, work, progress)
        try:
            found = program.run(study, out / f"{name}.png")
        except Interrupted as stopped:  # a run that has written its checkpoint
            raise click.Abort from stopped
    found |= {"machine": machine(), "dataset": dataset.name}
    found |= {"judge": asdict(settings)} if "judge" in vars(study) else {}
    save_json(out / f"{name}.json", found)
    document = out.with_suffix(".md")
    if document.exists():
        fill_document(document, {name: block(found, program)})
    console.print(f"In {out}: {name}.json and .png", soft_wrap=True)


def block(found: dict[str, Any], program: Program) -> str:
    """The study's table, and what measured it."""
    judge = found.get("judge")
    seen = f", judge `{judge['architecture']}`, {judge['images']:,} images long" if judge else ""
    return f"{program.block(found)}\n\n*{found['dataset']}{seen}; {found['machine']}.*"
