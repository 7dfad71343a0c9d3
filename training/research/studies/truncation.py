"""Quality against diversity, as latents are truncated.

Brock et al. 2019 (arXiv 1809.11096, section 3.1) trade one for the other by where z may lie; here z is scaled, as the
service does it (`service.generator.latents.truncate`).
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.generator.images import grid
from service.generator.latents import truncate
from training.evaluation.quality.comparison import Sample, judged, look
from training.evaluation.report import table
from training.research.documents import number, save_picture
from training.research.studies.study import Program, Study, show

LEVELS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
# In the picture: levels, and images of each.
SHOWN, COLUMNS = (0.1, 0.4, 0.7, 1.0), 20
FIGURES = {
    "frechet_distance": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "in_class_diversity": "in-class diversity",
    "class_accuracy": "class accuracy",
}


def run(study: Study, picture: Path) -> dict[str, Any]:
    real = look(study.judge, study.held_out)
    done = study.bar("judge", len(LEVELS) + 1)
    found, shown = {}, []
    for level in LEVELS:
        sample = truncated(study, level)
        shown += [sample.images[:COLUMNS]] if level in SHOWN else []
        values = judged(real, look(study.judge, sample))
        found[str(level)] = {name: values[name].value for name in FIGURES}
        done(1)
    floors = judged(real, look(study.judge, study.training))
    done(1)
    measured = {
        "images": study.count,
        "origin": study.source.origin,
        "levels": found,
        "floors": {name: floors[name].value for name in FIGURES},
    }
    draw(measured, grid(np.concatenate(shown), COLUMNS), picture)
    return measured


def truncated(study: Study, level: float) -> Sample:
    """Seed i of class i mod K, its z scaled."""
    classes = np.arange(study.count) % len(study.dataset.class_names)
    z = truncate(study.source.drawn(range(study.count)), level)
    parts = [
        study.source.forward(
            z[start : start + study.source.batch], classes[start : start + study.source.batch]
        )
        for start in range(0, study.count, study.source.batch)
    ]
    return Sample(np.concatenate(parts), classes)


def draw(found: dict[str, Any], samples: NDArray[np.uint8], picture: Path) -> None:
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    panels = figure.subplot_mosaic([["shares", "distance"], ["samples", "samples"]], height_ratios=[3, 2])
    levels = [float(level) for level in found["levels"]]
    for name, colour in (
        ("precision", "tab:red"),
        ("recall", "tab:blue"),
        ("in_class_diversity", "tab:green"),
    ):
        values = [figures[name] for figures in found["levels"].values()]
        panels["shares"].plot(levels, values, "o-", ms=3, color=colour, label=FIGURES[name])
        panels["shares"].axhline(found["floors"][name], color=colour, lw=0.6, ls=":")
    panels["shares"].set(title="Dotted: real images", xlabel="truncation", ylabel="share", ylim=(0, 1.05))
    panels["shares"].legend(fontsize=7)
    distances = [figures["frechet_distance"] for figures in found["levels"].values()]
    panels["distance"].plot(levels, distances, "ko-", ms=3)
    panels["distance"].axhline(found["floors"]["frechet_distance"], color="k", lw=0.6, ls=":")
    panels["distance"].set(
        title="Both at once", xlabel="truncation", ylabel="Fréchet distance, lower is better"
    )
    show(panels["samples"], samples)
    side = samples.shape[1] / len(SHOWN)
    panels["samples"].set_yticks(
        [side * (row + 0.5) for row in range(len(SHOWN))], [str(level) for level in SHOWN]
    )
    panels["samples"].set(title="The same seeds at four truncations", ylabel="truncation")
    save_picture(figure, picture, dpi=80)


def block(found: dict[str, Any]) -> str:
    rows = [
        [level, *(number(figures[name]) for name in FIGURES)] for level, figures in found["levels"].items()
    ]
    rows.append(["*real images*", *(number(found["floors"][name]) for name in FIGURES)])
    return table([f"truncation, {found['images']:,} images each", *FIGURES.values()], rows)


PROGRAM = Program(run, block)
