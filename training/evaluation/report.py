"""An evaluation, for people: as tables in a terminal and in a model card."""

from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    title: str
    better: str
    digits: int


# In the order shown; k = 5 is quality.comparison.NEIGHBOURS.
ROWS = {
    "frechet_distance": Row("Fréchet distance", "lower", 4),
    "intra_class_frechet_distance": Row("Fréchet distance within a class", "lower", 4),
    "kernel_distance": Row("kernel distance", "lower", 5),
    "inception_score": Row("Inception Score", "higher", 2),
    "class_accuracy": Row("class accuracy", "higher", 4),
    "precision": Row("precision, k=5", "higher", 3),
    "recall": Row("recall, k=5", "higher", 3),
    "density": Row("density, k=5", "higher", 3),
    "coverage": Row("coverage, k=5", "higher", 3),
    "in_class_diversity": Row("distance within a class over real", "as the floor", 3),
    "in_class_similarity": Row("MS-SSIM within a class", "as the floor", 3),
    "parzen_log_likelihood": Row("Parzen log-likelihood, nats (see its caveats)", "higher", 1),
    "parzen_sigma": Row("its window, by validation", "", 2),
    "nearest_median": Row("nearest training image, median", "as the floor", 1),
    "nearest_lowest_percent": Row("nearest training image, 1st percentile", "as the floor", 1),
}
HEADINGS = ("figure", "generated", "real (floor)", "better", "images")


def tables(evaluation: dict[str, Any]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """evaluation: `Evaluation.to_json`. Returns titles and rows of text, a table a judge, then pixels, then memory."""
    found = []
    for verdict in evaluation["verdicts"]:
        judge = verdict["judge"]
        title = (
            f"judge '{judge['architecture']}', seed {judge['seed']}, "
            f"{100 * verdict['test_accuracy']:.1f} % right on real held-out images"
        )
        found.append((title, _rows(verdict["figures"])))
    # Not in cards written before these figures were.
    if pixels := evaluation.get("pixels"):
        found.append(("variety and likelihood, in pixels", _rows(pixels)))
    found.append(("memorisation: distance in grey levels (root mean square)", _rows(evaluation["memory"])))
    return found


def print_tables(evaluation: dict[str, Any], console: Console) -> None:
    origin = ", ".join(f"{name} {value}" for name, value in evaluation["origin"].items())
    console.print(f"{evaluation['dataset']}: {origin}", highlight=False)
    for title, rows in tables(evaluation):
        table = Table(title=title, title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading in ("figure", "better") else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in evaluation["notes"]:
        console.print(f"Note: {note}", highlight=False)


def markdown(evaluation: dict[str, Any]) -> str:
    """The tables in Markdown, each under its title."""
    parts = []
    for title, rows in tables(evaluation):
        lines = [_line(HEADINGS), "| --- | ---: | ---: | --- | ---: |", *map(_line, rows)]
        parts.append("\n".join([f"{title[0].upper()}{title[1:]}:", "", *lines]))
    return "\n\n".join(parts + [f"Note: {note}" for note in evaluation["notes"]])


def _rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, row in ROWS.items():
        if name not in figures:
            continue
        figure = figures[name]
        value = f"{figure['value']:.{row.digits}f}"
        if figure.get("standard_error") is not None:
            value += f" ± {figure['standard_error']:.{row.digits}f}"
        if name == "frechet_distance" and figure["floor"] > 0:
            value += f" ({figure['value'] / figure['floor']:.1f} x floor)"
        rows.append(
            (row.title, value, f"{figure['floor']:.{row.digits}f}", row.better, f"{figure['images']:,}")
        )
    return rows


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
