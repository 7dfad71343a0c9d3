"""Progressive growing against the same networks at full size from the start, for as much CPU time (Karras et al. 2018, arXiv 1710.10196).

Judged as the paper does, by MS-SSIM and the sliced Wasserstein distance at each scale, and by the Fréchet distance.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console

from training.data.dataset import Dataset, Pixels, real_batches
from training.device import choose_precision
from training.evaluation.quality.diversity import in_class_similarity
from training.evaluation.quality.frechet import frechet_distance
from training.evaluation.quality.sliced import sliced_wasserstein
from training.evaluation.report import table
from training.files import write_atomically
from training.gan.state import new_state
from training.gan.step import Trainer, train_step
from training.presets import settings_of
from training.research.documents import number, save_picture
from training.research.studies.study import Program, Study, show
from training.run.checkpoint import load_generator
from training.run.loop import train
from training.run.run import Options
from training.run.samples import sample
from training.settings import Settings

# Set against the preset.
CHANGES: dict[str, Any] = {}
WAYS: dict[str, dict[str, Any]] = {"growing": {}, "full size from the start": {"grow": 0.0}}
SEEDS = 1
# A run in small, which passes through all sizes as a whole one does, tells how fast a whole one is.
TRIAL_UPDATES = 64
COLUMNS = 12


def run(study: Study, picture: Path) -> dict[str, Any]:
    """Trains each way from each seed, gone on with if it was stopped."""
    real = study.held_out
    assert real.labels is not None
    features, labels = study.judge(real.images).features, real.labels

    def figures(images: Pixels) -> dict[str, float]:
        scales = sliced_wasserstein(real.images, images)
        return {
            "Fréchet distance ↓": frechet_distance(features, study.judge(images).features),
            "MS-SSIM within a class →": in_class_similarity(images, labels),
        } | {f"sliced Wasserstein x 1000, {side}x{side} ↓": 1000 * far for side, far in scales.items()}

    lengths, runs, drawn = planned(study), {}, {}
    for seed in range(SEEDS):
        for name, changes in WAYS.items():
            settings = settings_of("growing", seed=seed, images=lengths[name], **CHANGES | changes)
            folder = study.work / f"growing-{study.updates}-{name.split()[0]}-{seed}"
            spent = {"images": settings.images, "CPU seconds": trained(study, settings, folder)}
            generator = load_generator(folder)
            drawn[name] = sample(generator.generator, settings, range(study.count), labels.tolist())
            runs.setdefault(name, []).append(spent | figures(drawn[name]))
    paint({"real": real.images} | drawn, picture)
    floor = figures(study.training.images)
    return {"updates": study.updates, "images": study.count, "changes": CHANGES, "runs": runs, "floor": floor}


def planned(study: Study) -> dict[str, int]:
    """Images of each way for the CPU time of `updates` updates at full size: measured once, and kept."""
    file = study.work / f"growing-{study.updates}-plan.json"
    if not file.exists():
        # In alternation, so that a busy minute falls on both; the first round is warm-up.
        costs = [{name: cost(study.dataset, changes) for name, changes in WAYS.items()} for _ in range(3)][1:]
        batch, *_, full = settings_of("growing", **CHANGES).batch, *WAYS
        mean = {name: float(np.mean([one[name] for one in costs])) for name in WAYS}
        plan = {name: batch * round(study.updates * mean[full] / mean[name]) for name in WAYS}
        write_atomically(file, json.dumps(plan).encode())
    return json.loads(file.read_text("utf-8"))


def cost(dataset: Dataset, changes: dict[str, Any]) -> float:
    """CPU seconds of an update, over a run in small."""
    settings = settings_of("growing", **CHANGES | changes)
    settings, cpu = replace(settings, images=TRIAL_UPDATES * settings.batch), torch.device("cpu")
    batches, state = real_batches(dataset, 0, settings.batch, cpu), new_state(settings, dataset.spec, cpu)
    trainer = Trainer(
        settings, dataset.spec.classes, cpu, batches, choose_precision(settings.precision, cpu)[0]
    )
    began = time.process_time()
    while state.images_seen < settings.images:
        train_step(trainer, state)
    return (time.process_time() - began) / TRIAL_UPDATES


def trained(study: Study, settings: Settings, folder: Path) -> float:
    """CPU seconds that the run took, over all processes that it went on in."""
    file, began, done = folder / "seconds.json", time.process_time(), study.bar(folder.name, settings.images)
    before = json.loads(file.read_text("utf-8")) if file.exists() else 0.0

    def note(images_seen: int) -> None:
        write_atomically(file, json.dumps(before + time.process_time() - began).encode())

    options = Options(
        folder, "cpu", checkpoint_every=5000, tensorboard=False, on_collapse="warn", on_checkpoint=note
    )
    train(settings, options, study.dataset, Console(quiet=True))
    done(settings.images)
    return json.loads(file.read_text("utf-8"))


def paint(rows: dict[str, Pixels], picture: Path) -> None:
    figure = Figure(figsize=(COLUMNS * 0.75, len(rows) * 0.85), layout="constrained")
    grid = figure.subplots(len(rows), COLUMNS)
    for axes, (name, images) in zip(grid, rows.items(), strict=True):
        for cell, image in zip(axes, images, strict=False):
            show(cell, image)
        axes[0].set_title(name, fontsize=8, loc="left")
    save_picture(figure, picture)


def block(found: dict[str, Any]) -> str:
    ways = {"*real*": [found["floor"]]} | found["runs"]
    columns = ["images", "CPU seconds", *found["floor"]]
    rows = [
        [name, *(" / ".join(number(run[of]) if of in run else "-" for run in runs) for of in columns)]
        for name, runs in ways.items()
    ]
    return table([f"{found['images']:,} images judged", "images seen", *columns[1:]], rows)


PROGRAM = Program(run, block, of_model=False)
