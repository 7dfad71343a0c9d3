"""A comparison as tables in Markdown, from its results alone: python -m training.research.comparison.table TABLE.json [DOCUMENT.md].

With a document, they take the place in it that is named as the file, see documents.py.
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from training.evaluation.quality.figures import FIGURES
from training.evaluation.report import OVER_FLOOR, table
from training.research.documents import fill_document

# Which figures stand in which table, and with how many digits.
NEARNESS = {
    "frechet_distance": 3,
    "frechet_infinity": 3,
    "intra_class_frechet_distance": 3,
    "kernel_distance": 4,
    "inception_score": 2,
    "class_accuracy": 3,
    "precision": 3,
    "recall": 3,
    "density": 3,
    "coverage": 3,
}
VARIETY = {
    "in_class_diversity": 3,
    "least_class_diversity": 3,
    "in_class_similarity": 3,
    "nearest_median": 1,
    "nearest_lowest_percent": 1,
    "usefulness": 3,
    "parzen_log_likelihood": 0,
    "parzen_sigma": 2,
}
BY_JUDGE = {
    "frechet_distance": "Fréchet ↓",
    "intra_class_frechet_distance": "within a class ↓",
    "recall": "recall ↑",
    "coverage": "coverage ↑",
}
ARROWS = {"lower": " ↓", "higher": " ↑", "as the floor": " →", "": ""}
COST_HEADINGS = (
    "real images seen",
    "CPU minutes",
    "images/s to train",
    "parameters of G",
    "multiply-adds an image",
    "images/s to sample",
)


def tables(comparison: dict[str, Any]) -> str:
    """All of it in Markdown. comparison: what `compare` writes into table.json."""
    systems = by_preset(comparison["runs"])
    measured = {
        name: runs for name, found in systems.items() if (runs := [r for r in found if "figures" in r])
    }
    parts = [introduction(comparison)]
    if measured:
        parts += [
            "Near to real images (↓ lower is better, ↑ higher):",
            figures_table(measured, NEARNESS),
            "Variety, memory, likelihood (→ as real images):",
            figures_table(measured, VARIETY),
            "Fréchet distance over its floor, and shares, by each judge:",
            judges_table(measured),
            "Cost:",
            cost_table(measured),
        ]
    return "\n\n".join(part for part in [*parts, *remarks(systems)] if part)


def by_preset(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    systems: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        systems.setdefault(run["preset"], []).append(run)
    return systems


def introduction(comparison: dict[str, Any]) -> str:
    budget = comparison["budget"]
    length = (
        f"{budget['minutes']:g} minutes each ({comparison['unit']})"
        if "minutes" in budget
        else f"{budget['images']:,} real images each"
    )
    words = [f"{comparison['dataset']}, {length}, on {comparison['machine']}."]
    run = next((run for run in comparison["runs"] if "figures" in run), None)
    if run:
        judge, *others = run["judges"]
        words.append(
            f"{run['evaluated_images']:,} images of each system through its exported file, against as many held-out "
            f"real ones; judge '{judge['architecture']}', {100 * judge['test_accuracy']:.1f} % right on real images, where no "
            f"other is named. *real* is the floor: what as many other real images{unseen(judge)} reach in the generated ones' "
            "place (nearest training image: what the held-out images reach)."
        )
        if others:
            named = [f"'{one['architecture']}' ({100 * one['test_accuracy']:.1f} %)" for one in others]
            words.append(f"The other judges: {', '.join(named)}.")
    return " ".join(words)


def unseen(judge: dict[str, Any]) -> str:
    """Whether the judge knew the images of its floor: until judges were trained on halves, it did."""
    if "train_accuracy" in judge:
        return ", unseen by the judge and each class as often,"
    return ", which the judge was trained on,"


def figures_table(systems: dict[str, list[dict[str, Any]]], columns: dict[str, int]) -> str:
    # Every run has the same floors; one without classes lacks some.
    floors: dict[str, Any] = {}
    for run in (run for runs in systems.values() for run in runs):
        floors = run["figures"] | floors
    rows = [["*real*", *(floor_cell(floors.get(figure), digits) for figure, digits in columns.items())]]
    rows += [
        [title(name, runs), *(figure_cell(runs, *column) for column in columns.items())]
        for name, runs in systems.items()
    ]
    return table(
        ["system", *(FIGURES[figure].heading + ARROWS[FIGURES[figure].better] for figure in columns)], rows
    )


def floor_cell(figure: dict[str, Any] | None, digits: int) -> str:
    if figure is None:
        return "-"
    spread = figure.get("floor_spread")
    return f"{figure['floor']:.{digits}f}" + (
        f" (± {spread:.{max(digits, 1)}f})" if spread is not None else ""
    )


def figure_cell(runs: list[dict[str, Any]], figure: str, digits: int) -> str:
    """The value; of several seeds mean ± standard deviation; of one, value ± its own error, the larger of the two there are."""
    figures = [run["figures"][figure] for run in runs if figure in run["figures"]]
    if not figures:
        return "-"
    value = f"{mean(found['value'] for found in figures):.{digits}f}"
    if len(figures) > 1:
        return f"{value} ± {stdev(found['value'] for found in figures):.{digits}f}"
    errors = [figures[0].get(name) for name in ("standard_error", "spread")]
    known = [error for error in errors if error is not None]
    return f"{value} (± {max(known):.{max(digits, 1)}f})" if known else value


def judges_table(systems: dict[str, list[dict[str, Any]]]) -> str:
    """How judges order the systems: each judge's distances in units of its floor, and its recall and coverage."""
    head, rows = ["system"], [[title(name, runs)] for name, runs in systems.items()]
    for figure, words in BY_JUDGE.items():
        for judge in _by_judge(next(iter(systems.values()))[0]):
            head.append(f"{words}, '{judge}'")
            for row, runs in zip(rows, systems.values(), strict=True):
                found = [by[judge][figure] for by in map(_by_judge, runs) if figure in by[judge]]
                times = [one["value"] / (one["floor"] if figure in OVER_FLOOR else 1) for one in found]
                digits = 1 if figure in OVER_FLOOR else 3
                spread = f" ± {stdev(times):.{digits}f}" if len(times) > 1 else ""
                row.append(f"{mean(times):.{digits}f}{spread}" if times else "-")
    return table(head, rows)


def _by_judge(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {run["judges"][0]["architecture"]: run["figures"]} | run["others"]


def cost_table(systems: dict[str, list[dict[str, Any]]]) -> str:
    """Of each system's first run: later ones may come from another machine, whose seconds are others."""
    rows = []
    for name, runs in systems.items():
        run = runs[0]
        seconds, images = run["seconds"], run["images"]
        rows.append(
            [
                title(name, runs),
                f"{images:,}",
                f"{seconds / 60:.3g}",
                f"{images / seconds:,.0f}" if seconds else "-",
                f"{run['parameters']:,}",
                f"{run['multiply_adds']:,}",
                f"{run['sampling_images_per_second']:,.0f}",
            ]
        )
    return table(["system", *COST_HEADINGS], rows)


def remarks(systems: dict[str, list[dict[str, Any]]]) -> list[str]:
    found = []
    runs = [run for found_runs in systems.values() for run in found_runs]
    several = sorted({len(runs) for runs in systems.values() if len(runs) > 1})
    if several:
        found.append("± of several seeds: their standard deviation. Costs are those of the first.")
    found.append(
        "(±): of one training seed, the standard deviation over draws of latents, or the standard error over images "
        "(Fréchet distance: bootstrap) where that is larger; of *real*, the standard deviation over draws of images."
    )
    unconditional = [name for name, runs in systems.items() if not runs[0].get("conditional", True)]
    if unconditional:
        found.append(
            f"-: {', '.join(f'`{name}`' for name in unconditional)} "
            f"{'are' if len(unconditional) > 1 else 'is'} not told the class, so that figures of classes do not apply."
        )
    # The first sentence of the reason: what follows is advice to whoever trains.
    stopped = [
        f"- `{run['preset']}`, seed {run['seed']}, stopped itself"
        f"{'; measured is its last checkpoint' if 'figures' in run else ''}: {run['reason'].partition('. ')[0].rstrip('.')}."
        for run in runs
        if run.get("reason")
    ]
    unfinished = [
        f"- `{run['preset']}`, seed {run['seed']}: unfinished, {run['images']:,} of {run['images_planned']:,} images."
        for run in runs
        if not run.get("reason") and "figures" not in run
    ]
    if stopped or unfinished:
        found.append("\n".join(stopped + unfinished))
    return found


def title(name: str, runs: list[dict[str, Any]]) -> str:
    stopped = " (stopped)" if any(run.get("reason") for run in runs) else ""
    return f"`{name}`{stopped}" + (f", {len(runs)} seeds" if len(runs) > 1 else "")


if __name__ == "__main__":
    text = tables(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    if len(sys.argv) > 2:
        fill_document(Path(sys.argv[2]), {Path(sys.argv[1]).stem: text})
    else:
        print(text)
