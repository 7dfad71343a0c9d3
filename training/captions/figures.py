"""Does a picture show what its text says? Measured by the rule that made the captions, its class by a judge."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.captions.rules import Captions, States, combinations
from training.captions.run import Painter
from training.data.dataset import Dataset, Indices, Pixels
from training.evaluation.quality.comparison import mean, recognised
from training.evaluation.quality.frechet import frechet_distance
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import JudgeSettings
from training.evaluation.reference import floor_samples, size_of
from training.evaluation.report import table as markdown
from training.evaluation.report import with_error

SEEN, HELD_OUT = "texts seen in training", "texts held out"
EXCHANGED = "the same pictures, texts exchanged within their class"
REAL, REAL_OF_CLASS = "real pictures of these texts", "real pictures of the class alone"


def compare(
    painter: Painter, dataset: Dataset, judge: Judge, settings: JudgeSettings, each: int
) -> dict[str, Any]:
    """`each` pictures of every class with a word for each attribute, beside chance and beside real held-out pictures.

    Of every row: how often the judge sees the class, each attribute's measure is in the third that was asked for, and all
    of it together. Fréchet distance: of the captions of the held-out pictures. In JSON types.
    """
    captions = painter.header.captions
    asked = [one for one in combinations(captions) for _ in range(each)]
    labels, states = np.array([label for label, _ in asked]), np.array([state for _, state in asked])
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(len(asked), painter.header.settings.z_dim, generator=rng)
    made = painter(z, [captions.text(*one) for one in asked])
    new = captions.is_held_out(labels, states)
    # Of one class, every combination comes equally often.
    order = np.concatenate(
        [
            np.random.default_rng(0).permutation(part)
            for part in np.split(np.arange(len(asked)), len(captions.names))
        ]
    )
    found = seen(captions, judge, made, labels)
    real, own = dataset.test_images, dataset.test_labels
    found_real = seen(captions, judge, real, own)
    said = (found_real[1] != 0).all(axis=1)
    drawn = np.random.default_rng(0).choice((-1, 1), found_real[1].shape)
    rows = {
        SEEN: scores(captions, found, labels, states, ~new),
        HELD_OUT: scores(captions, found, labels, states, new),
        EXCHANGED: scores(captions, found, labels, states[order], np.ones(len(asked), bool)),
        REAL: scores(captions, found_real, own, found_real[1], said),
        REAL_OF_CLASS: scores(captions, found_real, own, drawn, np.ones(len(own), bool)),
    }
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "attributes": list(captions.attributes),
        "judge": asdict(settings),
        "judge_accuracy": judge.test_accuracy,
        "rows": rows,
        "verdicts": [_verdict(painter, dataset, judge, settings)],
    }


def seen(
    captions: Captions, judge: Judge, images: Pixels, labels: Indices
) -> tuple[NDArray[np.bool_], States]:
    """Whether the judge sees the class, [N]; and the thirds that these pictures are in, measured as of their class."""
    return judge(images).probabilities.argmax(axis=1) == labels, captions.states(images, labels)


def scores(
    captions: Captions,
    found: tuple[NDArray[np.bool_], States],
    labels: Indices,
    states: States,
    of: NDArray[np.bool_],
) -> dict[str, dict[str, Any]]:
    """Shares of the pictures `of`. states: what was asked for."""
    right = {"class": found[0][of]}
    right |= {name: (found[1] == states)[of, i] for i, name in enumerate(captions.attributes)}
    right["all"] = np.logical_and.reduce(list(right.values()))
    return {name: mean(hits)._asdict() for name, hits in right.items()}


def table(found: dict[str, Any]) -> str:
    """In Markdown: a row each, in per cent with one standard error over pictures."""
    names = ["class", *found["attributes"], "all"]
    rows = [
        [row, *(with_error(figures[name], 1, 0.01) for name in names), f"{figures['all']['images']:,}"]
        for row, figures in found["rows"].items()
    ]
    return markdown(["pictures", *names, "n"], rows)


def _verdict(painter: Painter, dataset: Dataset, judge: Judge, settings: JudgeSettings) -> dict[str, Any]:
    """Fréchet distance to the held-out pictures, of pictures by their own captions; its floor is other real pictures'."""
    captions, size = painter.header.captions, size_of(dataset, [settings], len(dataset.test_images))
    real, labels = dataset.test_images[:size], dataset.test_labels[:size]
    texts = [
        captions.text(int(label), state)
        for label, state in zip(labels, captions.states(real, labels), strict=True)
    ]
    z = torch.randn(size, painter.header.settings.z_dim, generator=torch.Generator().manual_seed(1))
    made, beside = judge(painter(z, texts)), judge(real).features
    other = judge(floor_samples(dataset, settings, size)[0].images).features
    floors = {"frechet_distance": frechet_distance(beside, other), "class_accuracy": judge.test_accuracy}
    found = recognised(beside, made, labels)
    figures = {name: found[name]._asdict() | {"floor": floor} for name, floor in floors.items()}
    return {"judge": {"architecture": settings.architecture}, "figures": figures}
