"""The Inception Score of a generator that knows one image per class.

Salimans et al. 2016 (arXiv 1606.03498, section 4) ask for images that are surely of a class, and for every
class: one image of each is enough (Barratt and Sharma 2018, arXiv 1801.01973, section 3.2).
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from service.generator.images import grid
from training.evaluation.generated import images_of
from training.evaluation.quality.comparison import Sample, in_pixels, judged, look
from training.evaluation.report import table
from training.research.documents import number, save_picture
from training.research.studies.study import Program, Study, show

SHOWN = 4
FIGURES = {
    "inception_score": "Inception Score, higher is better",
    "in_class_diversity": "in-class diversity: feature distance within a class, over that of real images",
    "in_class_similarity": "MS-SSIM within a class, lower is more diverse",
    "class_accuracy": "class accuracy",
    "recall": "recall",
    "coverage": "coverage",
    "frechet_distance": "Fréchet distance, lower is better",
}


def run(study: Study, picture: Path) -> dict[str, Any]:
    samples = {
        "one real image a class": collapsed(study),
        "the shipped generator": Sample(
            *images_of(study.source, study.count, study.bar("generate", study.count))
        ),
        "real images": study.training,
    }
    real, found = look(study.judge, study.held_out), {}
    done = study.bar("judge", len(samples))
    for name, sample in samples.items():
        values = judged(real, look(study.judge, sample)) | in_pixels(study.held_out, sample)
        found[name] = {figure: values[figure].value for figure in FIGURES}
        done(1)
    draw(samples, found, picture)
    return {"images": study.count, "samples": found}


def collapsed(study: Study) -> Sample:
    """Of each class the training image that the judge is surest of, again and again: image i has class i mod K."""
    images, labels = study.training.images, study.training.labels
    assert labels is not None
    probabilities, classes = study.judge(images).probabilities, np.unique(labels)
    best = [
        np.flatnonzero(labels == label)[probabilities[labels == label, label].argmax()] for label in classes
    ]
    turns = np.arange(study.count) % len(classes)
    return Sample(images[best][turns], classes[turns])


def draw(samples: dict[str, Sample], found: dict[str, Any], picture: Path) -> None:
    """Some images of each class, one column per class, beside the two figures."""
    figure = Figure(figsize=(9, 2.1 * len(samples)), layout="constrained")
    panels = figure.subplots(len(samples), 2, width_ratios=[2, 1], squeeze=False)
    for (left, right), (name, sample) in zip(panels, samples.items(), strict=True):
        assert sample.labels is not None
        columns = [sample.images[sample.labels == label][:SHOWN] for label in np.unique(sample.labels)]
        rows = [column[i] for i in range(SHOWN) for column in columns]
        show(left, grid(np.stack(rows), len(columns)))
        left.set(title=name)
        names = ["Inception Score", "in-class diversity x 10"]
        values = [found[name]["inception_score"], 10 * found[name]["in_class_diversity"]]
        right.barh(names, values, color=["tab:red", "tab:blue"])
        right.set(xlim=(0, 12), ylim=(1.6, -0.6))
        for place, value in enumerate(values):
            right.annotate(
                f"{value:.2f}", (value, place), xytext=(3, -3), textcoords="offset points", fontsize=8
            )
    save_picture(figure, picture, dpi=80)


def block(found: dict[str, Any]) -> str:
    names = list(found["samples"])
    rows = [
        # The features of one image differ from themselves in their last digits.
        [words, *(number(round(found["samples"][name][key], 6)) for name in names)]
        for key, words in FIGURES.items()
    ]
    return table([f"{found['images']:,} images", *names], rows)


PROGRAM = Program(run, block)
