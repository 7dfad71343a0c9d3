"""What a person reads on the terminal: bars on stderr, facts and tables on stdout."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ganserve.errors import Refused, one_line

_PIPE_COLUMNS = 200  # a table in a pipe is not broken into narrower columns
_stderr = Console(stderr=True)  # one, so that a line goes above a bar and not into it


@contextmanager
def bar(total: float, text: str) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on stderr, if that is a terminal. text: rich's template of what stands beside it."""
    progress = Progress(
        BarColumn(),
        TextColumn(text),
        TimeElapsedColumn(),
        console=_stderr,
        disable=not sys.stderr.isatty(),
        transient=True,
        auto_refresh=False,  # it would have a thread of its own, in the way of a load's clock
    )
    with progress:
        task = progress.add_task("", total=total)
        progress.refresh()
        yield progress, task


def tell_wait(seconds: float, reason: Refused) -> None:
    """On a terminal: why nothing happens."""
    if sys.stderr.isatty():
        _stderr.print(Text(f"Waiting {seconds:.0f} s: {reason}"), style="dim", soft_wrap=True)


def say(where: object, what: str, facts: dict[str, Any], files: list[Path], as_json: bool) -> None:
    """What was written where; nothing if stdout has the images."""
    if as_json:
        click.echo(json.dumps(facts | {"files": [str(path) for path in files]}))
    elif files:
        click.echo(one_line(f"{where}: {what} of {facts['model']}@{facts['version']}"))


def show_models(cards: list[dict[str, Any]]) -> None:
    """A line a model, and why the others are not served."""
    show(("model", "version", "state", "classes", "image", "z", "engine"), [_line(card) for card in cards])
    for card in cards:
        if problem := card.get("problem"):
            click.echo(one_line(f"{card.get('id')}: {problem}"))


def show_load(facts: dict[str, Any]) -> None:
    due = "" if facts["rate"] is None else f", {facts['rate']:g} requests/s due"
    load = f"{facts['loop']} loop, {facts['connections']} connections{due}, n {facts['n']}, {facts['format']}"
    click.echo(one_line(f"{facts['model']} at {facts['url']}: {load}"))
    show(("latency", "ms"), [(name, f"{ms:,.2f}") for name, ms in facts["latency_ms"].items()])
    speed = f"{facts['requests_per_second']:,.1f} requests/s, {facts['images_per_second']:,.1f} images/s"
    click.echo(f"{facts['answered']:,} answered in {facts['seconds']:.1f} s: {speed}")
    if facts["errors"]:
        click.echo(f"errors: {named(facts['errors'])}")


def named(errors: dict[str, int]) -> str:
    return ", ".join(f"{one_line(code)} {count:,}" for code, count in errors.items())


def show(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """A table on stdout, whole; a server's text in it is text and no markup."""
    table = Table(box=None)
    for head in heads:
        table.add_column(head, justify="right" if head == "ms" else "left", overflow="fold")
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
        f"{engine['name']} {engine['precision']}" if engine else "-",
    ]
