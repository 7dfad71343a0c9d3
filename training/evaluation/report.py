"""An evaluation, for people: as tables in a terminal and in a model card."""

from typing import Any

from rich.console import Console
from rich.table import Table

from training.evaluation.quality.figures import FIGURES

HEADINGS = ("figure", "generated", "real (floor)", "better", "images", "paper")


def tables(evaluation: dict[str, Any]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """evaluation: `Evaluation.to_json`. Returns titles and rows of text: a table per judge, then pixels, then memory."""
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
    found.append(("memorisation: distances, root mean square over pixels", _rows(evaluation["memory"])))
    return found


def print_tables(evaluation: dict[str, Any], console: Console) -> None:
    origin = ", ".join(f"{name} {value}" for name, value in evaluation["origin"].items())
    console.print(f"{evaluation['dataset']}: {origin}", highlight=False)
    for title, rows in tables(evaluation):
        table = Table(title=title, title_justify="left")
        for heading in HEADINGS[:-1]:
            table.add_column(heading, justify="left" if heading in ("figure", "better") else "right")
        for row in rows:
            table.add_row(*row[:-1])
        console.print(table)
    for note in evaluation["notes"]:
        console.print(f"Note: {note}", highlight=False)


def markdown(evaluation: dict[str, Any]) -> str:
    """The tables in Markdown, each under its title."""
    parts = []
    for title, rows in tables(evaluation):
        lines = [_line(HEADINGS), "| --- | ---: | ---: | --- | ---: | --- |", *map(_line, rows)]
        parts.append("\n".join([f"{title[0].upper()}{title[1:]}:", "", *lines]))
    return "\n\n".join(parts + [f"Note: {note}" for note in evaluation["notes"]])


def _rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, about in FIGURES.items():
        if name not in figures:
            continue
        figure = figures[name]
        value = f"{figure['value']:.{about.digits}f}"
        if figure.get("standard_error") is not None:
            value += f" ± {figure['standard_error']:.{about.digits}f}"
        if name == "frechet_distance" and figure["floor"] > 0:
            value += f" ({figure['value'] / figure['floor']:.1f} x floor)"
        floor = f"{figure['floor']:.{about.digits}f}"
        rows.append((about.heading, value, floor, about.better, f"{figure['images']:,}", about.paper))
    return rows


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
