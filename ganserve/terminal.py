"""What a person reads on the terminal: bars on stderr, facts and tables on stdout."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ganserve.errors import one_line

_PIPE_COLUMNS = 200  # a table in a pipe is not broken into narrower columns


@contextmanager
def bar(total: float, *columns: TextColumn) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on stderr, if that is a terminal; of images, if `columns` do not say of what else."""
    shown = columns or (MofNCompleteColumn(), TextColumn("images"))
    progress = Progress(
        BarColumn(),
        *shown,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
        auto_refresh=False,  # it would have a thread of its own, in the way of a load's clock
    )
    with progress:
        task = progress.add_task("", total=total)
        progress.refresh()
        yield progress, task


def say(facts: dict[str, Any], written: list[Path], as_json: bool, folder: Path | None = None) -> None:
    """What was written where; nothing if stdout has the images."""
    if as_json:
        click.echo(json.dumps(facts | {"files": [str(path) for path in written]}))
    elif written:
        of = "" if facts["seeds"] is None else f", {spans(facts['seeds'])}"
        many = "" if facts["images"] == 1 else "s"
        what = f"{facts['images']} image{many} of {facts['model']}@{facts['version']}{of}"
        click.echo(f"{folder or written[0]}: {one_line(what)}")


def spans(seeds: list[int]) -> str:
    """`seed 7`, `seeds 1 to 16`, or `seeds 3, 1, 2` where they do not follow each other."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def show_models(cards: list[dict[str, Any]]) -> None:
    """A line a model, and why the others are not served."""
    heads = ("model", "version", "state", "classes", "image", "z", "engine", "precision", "batch")
    show(heads, [_line(card) for card in cards])
    for card in cards:
        if problem := card.get("problem"):
            click.echo(one_line(f"{card.get('id')}: {problem}"))


def show_load(facts: dict[str, Any]) -> None:
    due = "" if facts["rate"] is None else f", {facts['rate']:g} requests/s due"
    load = f"{facts['loop']} loop, {facts['connections']} connections{due}, n {facts['n']}, {facts['format']}"
    click.echo(one_line(f"{facts['model']} at {facts['url']}: {load}, {facts['seconds']:.1f} s"))
    latency, errors = facts["latency_ms"], facts["errors"]
    heads = [*(f"{name} ms" for name in latency), "requests/s", "images/s", "answered", "errors"]
    figures = [
        *("-" if value is None else f"{value:,.2f}" for value in latency.values()),
        *(f"{facts[f'{what}_per_second']:,.1f}" for what in ("requests", "images")),
        f"{facts['answered']:,}",
        f"{sum(errors.values()):,}",
    ]
    show(heads, [figures], justify="right")
    if errors:
        click.echo(f"errors: {named(errors)}")


def named(errors: dict[str, int]) -> str:
    return ", ".join(f"{one_line(code)} {count:,}" for code, count in errors.items())


def show(heads: Sequence[str], lines: Sequence[Sequence[object]], justify: Any = "left") -> None:
    """A table on stdout, whole; a server's text in it is text and no markup."""
    table = Table(box=None)
    for head in heads:
        table.add_column(head, justify=justify)
    for line in lines:
        table.add_row(*(Text(one_line(str(text))) for text in line))
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(file=sys.stdout, width=width).print(table)


def _line(card: dict[str, Any]) -> list[object]:
    """What a model that is not ready does not say is left out."""
    engine, image, classes = (card.get(part) or {} for part in ("engine", "image", "classes"))
    sides = [str(image[side]) for side in ("height", "width", "channels") if side in image]
    return [
        card.get("id"),
        card.get("version") or "-",
        card.get("state"),
        len(classes) or "-",
        "x".join(sides) or "-",
        card.get("z_dim", "-"),
        *(engine.get(fact, "-") for fact in ("name", "precision", "max_batch")),
    ]
