"""Presets side by side: trained under one budget, measured by the same judges, in one table and one picture."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache as once
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from training.commands.options import CACHE, DEVICE, JUDGE_IMAGES, SEVERAL_JUDGES
from training.commands.sources import FOLDER, data
from training.data.dataset import Dataset
from training.data.formats import load
from training.device import choose_device
from training.evaluation.generated import open_model
from training.evaluation.quality.judging import JudgeSettings, judges_of
from training.evaluation.reference import MIN_IMAGES, Reference, reference
from training.files import write_atomically
from training.research.comparison.budget import Spent
from training.research.comparison.folder import (
    comparison_so_far,
    failure,
    failure_file,
    model_folder,
    read_json,
    result_file,
    run_folder,
)
from training.research.comparison.measure import measure
from training.research.comparison.pictures import picture, real_samples, samples, with_nearest
from training.research.comparison.plan import begin, budget_of, parsed, planned
from training.research.comparison.table import tables
from training.research.documents import save_json
from training.run.alarms import TrainingFailed
from training.run.checkpoint import FILE_NAME
from training.run.loop import Interrupted, say, train
from training.run.run import Options
from training.settings import Settings

# In a run: of its state, and of sample grids with the look for mode collapse.
CHECKPOINTS, LOOKS = 30, 8


@click.command("compare")
@data("The data set, in any form that `train` takes.")
@click.option(
    "--presets",
    help="A comma list of recipes of presets.py, with settings changed or not, each with :N behind it for N seeds: "
    "dcgan,cgan:3,dcgan+ema_half_life=90000. All, one seed each, if not given.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Budget of each run: CPU time of the training process (on an accelerator: wall time).",
)
@click.option(
    "--images",
    type=click.IntRange(1),
    help="Instead of minutes: real images that each run's discriminator sees.",
)
@click.option("--out", required=True, type=FOLDER, help="The comparison's folder.")
@DEVICE
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@SEVERAL_JUDGES
@JUDGE_IMAGES
@click.option(
    "--evaluate-images",
    "count",
    type=click.IntRange(MIN_IMAGES),
    default=10_000,
    show_default=True,
    help="Generated images that are measured, and as many real ones; fewer where the data set has fewer.",
)
@CACHE
def command(
    data: Path,
    presets: str | None,
    minutes: float | None,
    images: int | None,
    out: Path,
    device: str,
    threads: int,
    judges: tuple[str, ...],
    judge_images: int | None,
    count: int,
    cache: Path,
) -> None:
    """Train presets under an equal budget and measure them, one after the other.

    Stop it in any way; the same command goes on, and does nothing twice. More presets may join later,
    or in a second process at the same time.
    """
    torch.set_num_threads(threads)
    console = Console()
    wanted = parsed(presets)
    where = choose_device(device)
    dataset = load(data)
    settings = judges_of(judges, judge_images)

    @once
    def real() -> Reference:
        say(console, "The judges and the floors, once ...")
        with Progress(console=console) as progress:
            return reference(dataset, settings, cache, progress, count)

    try:
        begin(out, budget_of(minutes, images), dataset, where)
        plans = planned(out, list(wanted), dataset, where, console)
        runs = [(name, seed) for name, seeds in wanted.items() for seed in range(seeds)]
        for place, (name, seed) in enumerate(runs, 1):
            say(console, f"\n[{place}/{len(runs)}] {name}, seed {seed}")
            train_one(out, name, replace(plans[name], seed=seed), dataset, device, console)
            with threadpool_limits(threads):
                measure_one(out, name, seed, real, settings, count, console)
        write_pictures(out, dataset)
    except (Interrupted, KeyboardInterrupt):
        say(console, f"Stopped. The same command goes on from what is in {out}.")
        sys.exit(130)
    say(console, f"\n{out}: table.md, table.json, samples.png, nearest.png, and models/ with each system")


def train_one(
    out: Path, name: str, settings: Settings, dataset: Dataset, device: str, console: Console
) -> None:
    folder = run_folder(out, name, settings.seed)
    if reason := failure(out, name, settings.seed).get("reason"):
        say(console, f"It stopped itself: {reason}")
        return
    if Spent.read(folder)[0] >= settings.images:
        say(console, "Trained.")
        return
    spent = Spent(folder, choose_device(device))
    options = Options(
        folder,
        device,
        checkpoint_every=max(1, settings.images // CHECKPOINTS),
        samples_every=max(1, settings.images // LOOKS),
        tensorboard=False,
        on_checkpoint=spent.note,
    )
    try:
        train(settings, options, dataset, console)
        if Spent.read(folder)[0] < settings.images:
            # Killed after the last checkpoint, before its note.
            spent.note(settings.images)
    except TrainingFailed as error:
        save_json(failure_file(out, name, settings.seed), {"reason": str(error)})
        say(console, f"It stopped itself: {error}")


def measure_one(
    out: Path,
    preset: str,
    seed: int,
    real: Callable[[], Reference],
    judges: list[JudgeSettings],
    count: int,
    console: Console,
) -> None:
    """Export and measure a run that has ended, once, and write the table anew."""
    run, file = run_folder(out, preset, seed), result_file(out, preset, seed)
    by = {"judges": [asdict(judge) for judge in judges], "images": count, "images_seen": Spent.read(run)[0]}
    done = file.exists() and read_json(file)["measured_by"] == by
    if not done and (run / FILE_NAME).exists():
        beside = real()
        say(console, "Measuring ...")
        with Progress(console=console) as progress:
            found = measure(run, model_folder(out, preset, seed), beside, count, progress)
        save_json(file, {"preset": preset} | found | failure(out, preset, seed) | {"measured_by": by})
    comparison = comparison_so_far(out)
    save_json(out / "table.json", comparison)
    write_atomically(out / "table.md", (tables(comparison) + "\n").encode())


def write_pictures(out: Path, dataset: Dataset) -> None:
    """Of the first seed of each system: a row of samples each, and the same with the training images like them."""
    rows = [("real, held out", real_samples(dataset))]
    for run in comparison_so_far(out)["runs"]:
        model = model_folder(out, run["preset"], 0)
        if run["seed"] == 0 and model.exists():
            source = open_model(model, "onnxruntime", "fp32", threads=1)
            rows.append(
                (run["preset"] if source.classes else f"{run['preset']}, no classes", samples(source))
            )
    together = len(rows)
    write_atomically(out / "samples.png", picture(rows, dataset.class_names, together))
    beside = with_nearest(rows, dataset)
    write_atomically(out / "nearest.png", picture(beside, dataset.class_names, together=2))
