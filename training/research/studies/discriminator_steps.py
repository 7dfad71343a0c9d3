"""One or four discriminator updates for each of the generator's (k of Goodfellow et al. 2014, Algorithm 1).

And whether the generator's loss says how good its images are.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from training.data.dataset import real_batches
from training.errors import UserError
from training.evaluation.quality.frechet import frechet_distance
from training.evaluation.report import table
from training.files import write_atomically
from training.gan.state import State, new_state
from training.gan.step import Trainer, train_step
from training.presets import settings_of
from training.research.documents import number, save_picture
from training.research.studies.study import Program, Study
from training.run.alarms import check_finite
from training.run.checkpoint import FILE_NAME, Header, read, restore, save_state
from training.run.samples import sample, settled
from training.run.watchdogs import DIVERGENCE, remedy
from training.settings import Settings

KS = (1, 4)
# Stops of a run, evenly spaced, each with its measurement.
STOPS = 10
POINTS = "points.json"
# The preset `ns-r1` made narrower, and of its recipe nothing but the loss, which is that of 2014.
CHANGES = {
    "width": 16, "attention": False, "r1_gamma": 0.0, "r1_gamma_end": 0.0, "ema_half_life": 0.0, "lr_constant": 1.0,
    "precision": "fp32",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A run at one stop. updates: of both networks, which is what a run costs, whatever its k.

    loss_g, loss_d: means since the stop before, in nats.
    """

    updates: int
    generator_updates: int
    loss_g: float
    loss_d: float
    frechet_distance: float


def run(study: Study, picture: Path) -> dict[str, Any]:
    """Trains with each k for as many updates in all, gone on with if it was stopped."""
    held_out = study.judge(study.held_out.images).features
    floor = frechet_distance(held_out, study.judge(study.training.images).features)
    done = study.bar("train", len(KS) * study.updates)
    runs = {k: [asdict(point) for point in trained(study, k, held_out, done)] for k in KS}
    found = {
        "floor": floor,
        "settings": CHANGES,
        "updates": study.updates,
        "images": study.count,
        "runs": {str(k): points for k, points in runs.items()},
        "rank_correlation": {str(k): correlation(points) for k, points in runs.items()},
    }
    draw(found, picture)
    return found


def trained(
    study: Study, k: int, held_out: NDArray[np.float32], done: Callable[[int], None]
) -> Iterator[Point]:
    """The points of one run, as they come; those of an earlier process first."""
    settings = settings_of("ns-r1", d_steps=k, **CHANGES)
    dataset = study.dataset
    folder = study.work / f"k{k}-{study.updates}-updates-{study.count}-images"
    state, points = begin(folder, new_state(settings, dataset.spec, torch.device("cpu")), settings, study)
    done(points[-1].updates if points else 0)
    yield from points
    batches = real_batches(dataset, settings.seed, settings.batch, torch.device("cpu"))
    trainer = Trainer(settings, dataset.spec.classes, torch.device("cpu"), batches, contextlib.nullcontext)
    for stop in range(len(points) + 1, STOPS + 1):
        figures = []
        while (updates := state.images_seen // settings.batch // k * (k + 1)) < stop * study.updates / STOPS:
            figures.append({name: float(value) for name, value in train_step(trainer, state).items()})
            done(k + 1)
        means = {name: float(np.mean([one[name] for one in figures])) for name in ("loss/G", "loss/D")}
        check_finite(means, state.images_seen, remedy(DIVERGENCE, settings))
        distance = frechet_distance(held_out, study.judge(images_of(state, settings, study)).features)
        points.append(Point(updates, updates // (k + 1), means["loss/G"], means["loss/D"], distance))
        # The points first: killed in between, the stop is trained for again and its point replaced.
        write_atomically(folder / POINTS, json.dumps([asdict(point) for point in points]).encode())
        save_state(folder, Header(settings, dataset.spec, state.images_seen, dataset.fingerprint), state)
        yield points[-1]


def begin(folder: Path, state: State, settings: Settings, study: Study) -> tuple[State, list[Point]]:
    """The run's state and points from its folder, if it has them. Raises UserError where they are another run's."""
    if not (folder / FILE_NAME).exists():
        return state, []
    header, tensors = read(folder / FILE_NAME)
    if (header.settings, header.data_fingerprint) != (settings, study.dataset.fingerprint):
        raise UserError(f"{folder} holds a run on other images or with other settings: give another --work")
    restore(tensors, state)
    state.images_seen = header.images_seen
    points = [Point(**point) for point in json.loads((folder / POINTS).read_text("utf-8"))]
    images = settings.d_steps * settings.batch
    return state, [point for point in points if point.generator_updates * images <= state.images_seen]


def images_of(state: State, settings: Settings, study: Study) -> NDArray[np.uint8]:
    """Seed i of class i mod K: uint8 [study.count, C, H, W]."""
    generator = settled(state.average, settings, study.dataset.spec)
    labels = (seed % study.dataset.spec.classes for seed in range(study.count))
    return sample(generator, settings, range(study.count), labels)


def correlation(points: list[dict[str, Any]]) -> float:
    """Spearman's, between the generator's loss and the Fréchet distance: 1 if the loss tracked quality."""
    losses, distances = ([point[name] for point in points] for name in ("loss_g", "frechet_distance"))
    return float(np.asarray(spearmanr(losses, distances))[0])


def draw(found: dict[str, Any], picture: Path) -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, points in found["runs"].items():
        updates = [point["updates"] for point in points]
        left.semilogy(updates, [p["frechet_distance"] for p in points], "o-", ms=3, label=f"k = {k}")
        right.plot(updates, [p["loss_g"] for p in points], "o-", ms=3, label=f"k = {k}")
    left.axhline(found["floor"], color="grey", lw=0.7, label="real images")
    left.set(title="Quality", xlabel="updates of both networks", ylabel="Fréchet distance, lower is better")
    right.set(title="The generator's loss", xlabel="updates of both networks", ylabel="-E log D(G(z)), nats")
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    save_picture(figure, picture)


def block(found: dict[str, Any]) -> str:
    rows = []
    for k, points in found["runs"].items():
        first, last = points[0], points[-1]
        rows.append(
            [
                f"k = {k}",
                f"{last['generator_updates']:,}",
                f"{number(first['frechet_distance'])} → {number(last['frechet_distance'])}",
                f"{number(first['loss_g'])} → {number(last['loss_g'])}",
                f"{number(first['loss_d'])} → {number(last['loss_d'])}",
                f"{found['rank_correlation'][k]:+.2f}",
            ]
        )
    head = [
        f"{found['updates']:,} updates in all, first stop → last",
        "updates of G",
        f"Fréchet distance, {found['images']:,} images (real: {number(found['floor'])})",
        "loss of G, nats",
        "loss of D, nats",
        "rank correlation of G's loss and distance",
    ]
    return table(head, rows)


PROGRAM = Program(run, block, of_model=False)
