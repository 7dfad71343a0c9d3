"""Two new classes of a few hundred pictures: from nothing, from a run on the other classes, and with D's first layers frozen.

Mo, Cho and Shin 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs" (arXiv 2002.10964).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from training.data.dataset import Dataset, Indices, Pixels
from training.evaluation.quality.comparison import Sample, Seen, look
from training.evaluation.quality.frechet import frechet_distance
from training.evaluation.report import table
from training.export.card import shown
from training.files import write_atomically
from training.presets import settings_of
from training.research.documents import number
from training.research.studies.study import Program, Study
from training.run.checkpoint import load_generator
from training.run.loop import train
from training.run.run import Options
from training.run.samples import sample
from training.settings import Settings

NEW_CLASSES, PICTURES, SEEDS, SHOWN = 2, 200, 3, 10
# The preset `ns-r1` made narrower, with the augmentation that few pictures need, in every run.
CHANGES = {"width": 16, "attention": False, "precision": "fp32", "augment": "translation,cutout"}
# A run on the new classes has one update of so many on the others.
SHARE = 6
# Layers of D that stay; without a number the run begins from nothing.
WAYS = {"from nothing": None, "fine-tuned": 0, "fine-tuned, 2 of D's 5 layers frozen": 2}


def run(study: Study, picture: Path) -> dict[str, Any]:
    """Trains once on all but the last two classes, then on those by each way and seed; what was stopped goes on."""
    names = study.dataset.class_names
    old, new = names[:-NEW_CLASSES], names[-NEW_CLASSES:]
    few = of_classes(study.dataset, new, PICTURES)
    steps = study.updates // 2
    folder = study.work / f"fine-tuning-{study.updates}-updates"
    done = study.bar("train", 1 + len(WAYS) * SEEDS)
    base = settings_of("ns-r1", images=steps * Settings.batch, **CHANGES)
    train_in(folder / "others", base, of_classes(study.dataset, old, None))
    done(1)

    real, other = (from_label(len(old), one) for one in (study.held_out, study.training))
    held_out, pictures = look(study.judge, real), [first_of_each(real)]
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for way, frozen in WAYS.items():
        for seed in range(SEEDS):
            settings = replace(base, seed=seed, images=base.images // SHARE)
            if frozen is not None:
                settings = replace(settings, source=str(folder / "others"), freeze_d=frozen)
            place = folder / f"{frozen}-{seed}"
            train_in(place, settings, few)
            trained, count = load_generator(place), len(real.images)
            labels = np.arange(count) % NEW_CLASSES
            drawn = Sample(sample(trained.generator, settings, range(count), labels), labels + len(old))
            runs[way].append(figures(held_out, look(study.judge, drawn)))
            pictures += [first_of_each(drawn)] * (seed == 0)
            done(1)
    write_atomically(picture, shown(np.concatenate(pictures), SHOWN))
    means = {
        way: {name: spread([one[name] for one in found]) for name in found[0]} for way, found in runs.items()
    }
    about = {"updates": study.updates, "images": len(real.images), "classes": new, "pictures": PICTURES}
    return about | {"floor": figures(held_out, look(study.judge, other)), "runs": runs, "means": means}


def of_classes(dataset: Dataset, names: Sequence[str], most: int | None) -> Dataset:
    """The images of these classes, of each the first `most` to train on."""
    number_of = {dataset.class_names.index(name): new for new, name in enumerate(names)}

    def chosen(images: Pixels, labels: Indices, most: int | None) -> tuple[Pixels, Indices]:
        rows = np.concatenate([np.flatnonzero(labels == label)[:most] for label in number_of])
        return images[rows], np.array([number_of[label] for label in labels[rows].tolist()])

    training = chosen(dataset.images, dataset.labels, most)
    test = chosen(dataset.test_images, dataset.test_labels, None)
    return Dataset(dataset.name, tuple(names), *training, *test)


def from_label(first: int, sample: Sample) -> Sample:
    assert sample.labels is not None
    rows = sample.labels >= first
    return Sample(sample.images[rows], sample.labels[rows])


def first_of_each(sample: Sample) -> Pixels:
    """A row of pictures per class."""
    assert sample.labels is not None
    rows = [sample.images[sample.labels == label][:SHOWN] for label in np.unique(sample.labels)]
    return np.concatenate(rows)


def train_in(folder: Path, settings: Settings, dataset: Dataset) -> None:
    options = Options(folder, "cpu", samples_every=settings.images, tensorboard=False, on_collapse="warn")
    train(settings, options, dataset, Console(quiet=True))


def figures(real: Seen, seen: Seen) -> dict[str, float]:
    distance = frechet_distance(real.features, seen.features)
    return {"frechet_distance": distance, "class_accuracy": float(seen.recognised.mean())}


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}


def block(found: dict[str, Any]) -> str:
    rows = [
        [way, *(f"{number(one['mean'])} ± {number(one['deviation'])}" for one in means.values())]
        for way, means in found["means"].items()
    ]
    head = [
        f"{found['updates'] // SHARE:,} updates on {found['pictures']} pictures each of {' and '.join(found['classes'])}",
        f"Fréchet distance, {found['images']:,} images",
        "class accuracy",
    ]
    return table(head, [*rows, ["real images", *map(number, found["floor"].values())]])


PROGRAM = Program(run, block)
