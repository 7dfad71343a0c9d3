"""An evaluation, for people: as tables in a terminal and in a model card."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as Printed

from training.evaluation.quality.figures import FIGURES

HEADINGS = ("figure", "generated", "real (floor)", "better", "images", "paper")
WORDY = ("figure", "class", "better", "paper")
# What judges can be compared by: Fréchet distances over their floors, and shares.
OVER_FLOOR = ("frechet_distance", "intra_class_frechet_distance")
SHARES = (
    *("class_accuracy", "precision", "recall", "density", "coverage"),
    *("in_class_diversity", "least_class_diversity"),
)
WORDS = (
    "± is the standard deviation from draw to draw: of the generated images from other seeds, of the floor from other real "
    "images. In square brackets: one standard error over images (Fréchet distance: bootstrap, 100 resamples)."
)


class Table(NamedTuple):
    title: str
    head: Sequence[str]
    rows: list[Sequence[str]]


def tables(evaluation: dict[str, Any]) -> list[Table]:
    """evaluation: `Evaluation.to_json`. The judges side by side, a table or two of each, pixels, memory."""
    verdicts = evaluation["verdicts"]
    names = [f"'{verdict['judge']['architecture']}'" for verdict in verdicts]
    found = [Table("the judges side by side", ["figure", *names], _side_by_side(verdicts))] * (len(names) > 1)
    for verdict in verdicts:
        judge = verdict["judge"]
        title = (
            f"judge '{judge['architecture']}', seed {judge['seed']}, "
            f"{100 * verdict['test_accuracy']:.1f} % right on real held-out images"
        )
        if (known := verdict.get("train_accuracy")) is not None:
            title += f", {100 * known:.1f} % on those it was trained on"
        found.append(Table(title, HEADINGS, _rows(verdict["figures"])))
        if variety := verdict.get("class_diversities"):
            rows: list[Sequence[str]] = [
                [name, _share(verdict["class_accuracies"][name]), _share(variety[name])] for name in variety
            ]
            head = ["class", "class accuracy (real)", "distance within the class over real (floor)"]
            found.append(Table(f"classes, by judge '{judge['architecture']}'", head, rows))
    # Not in cards written before these figures were.
    if pixels := evaluation.get("pixels"):
        found.append(Table("variety, use and likelihood, without a judge", HEADINGS, _rows(pixels)))
    title = "memorisation: distances, root mean square over pixels"
    return [*found, Table(title, HEADINGS, _rows(evaluation["memory"]))]


def print_tables(evaluation: dict[str, Any], console: Console) -> None:
    origin = ", ".join(f"{name} {value}" for name, value in evaluation["origin"].items())
    console.print(f"{evaluation['dataset']}: {origin}", highlight=False)
    for title, head, rows in tables(evaluation):
        table = Printed(title=title, title_justify="left")
        # A terminal is too narrow for papers.
        shown = [heading for heading in head if heading != "paper"]
        for heading in shown:
            table.add_column(heading, justify="left" if heading in WORDY else "right")
        for row in rows:
            table.add_row(*row[: len(shown)])
        console.print(table)
    for note in (WORDS, *evaluation["notes"]):
        console.print(f"Note: {note}", highlight=False)


def markdown(evaluation: dict[str, Any]) -> str:
    """The tables in Markdown, each under its title."""
    parts = []
    for title, head, rows in tables(evaluation):
        parts.append(f"{title[0].upper()}{title[1:]}:\n\n{table(head, rows, WORDY)}")
    return "\n\n".join(parts + [f"Note: {note}" for note in (WORDS, *evaluation["notes"])])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str] = ()) -> str:
    """A table in Markdown: the first column and those under these words to the left, the others to the right."""
    aligned = ["---" if i == 0 or heading in words else "---:" for i, heading in enumerate(head)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, aligned, *rows))


def with_error(figure: Mapping[str, float], digits: int, unit: float = 1) -> str:
    """`12.3 ± 0.4`: value and standard error, in units of so much."""
    return f"{figure['value'] / unit:.{digits}f} ± {figure['standard_error'] / unit:.{digits}f}"


def over_floor(figure: dict[str, Any]) -> float | None:
    """A distance in units of what real images reach."""
    return figure["value"] / figure["floor"] if figure["floor"] > 0 else None


def _rows(figures: dict[str, Any]) -> list[Sequence[str]]:
    rows = []
    for name, about in FIGURES.items():
        if name not in figures:
            continue
        figure = figures[name]
        value = _with(figure["value"], figure.get("spread"), about.digits)
        if figure.get("standard_error") is not None:
            value += f" [{figure['standard_error']:.{about.digits}f}]"
        if name in OVER_FLOOR and (times := over_floor(figure)) is not None:
            value += f" ({times:.1f} x floor)"
        floor = _with(figure["floor"], figure.get("floor_spread"), about.digits)
        rows.append((about.heading, value, floor, about.better, f"{figure['images']:,}", about.paper))
    return rows


def _side_by_side(verdicts: list[dict[str, Any]]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name in OVER_FLOOR + SHARES:
        if found := [verdict["figures"][name] for verdict in verdicts if name in verdict["figures"]]:
            words = FIGURES[name].title + (", over the floor" if name in OVER_FLOOR else " (real)")
            times = [over_floor(figure) for figure in found]
            cells = [f"{value:.1f}" if value is not None else "-" for value in times]
            rows.append([words, *(cells if name in OVER_FLOOR else map(_share, found))])
    return rows


def _share(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['floor']:.3f})"


def _with(value: float, spread: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")
