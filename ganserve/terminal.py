"""What a person reads on the terminal: bars on stderr, facts and tables on stdout."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ganserve.answers.drawn import Samples
from ganserve.errors import GanserveError, Refused, UnexpectedAnswer, Unreachable, one_line
from ganserve.files import Output, encode

_KEY = "A key is given by --api-key or GANSERVE_API_KEY."
_LONGER = "--timeout waits longer."
_STATES = "`ganserve models` says how each stands."
_NEXT_STEPS = {
    "invalid_api_key": _KEY,
    "missing_scope": _KEY,
    "unknown_model": _STATES,
    "not_ready": _STATES,
    "queue_full": _LONGER,
    "deadline_passed": _LONGER,
}
"""By the server's code."""


def with_next_step(error: GanserveError) -> str:
    """What went wrong and, where a command or an option may mend it, which."""
    if isinstance(error, Refused):
        step = _NEXT_STEPS.get(error.code, "")
    elif isinstance(error, Unreachable):
        step = f"`ganserve serve` starts a server, --url or GANSERVE_URL names another, {_LONGER}"
    elif isinstance(error, UnexpectedAnswer):
        step = "--url or GANSERVE_URL names another server."
    else:
        step = ""
    return f"{error} {step}".rstrip()


@contextmanager
def bar(length: int, counted: str = "") -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, if that is a terminal. It is told of each step, and maybe of what to show beside it.

    counted: what the steps are, where their number is to be shown.
    """
    if not sys.stderr.isatty():
        yield lambda steps, text=None: None
        return
    with click.progressbar(
        length=length,
        file=sys.stderr,
        bar_template=f"%(bar)s %(info)s {counted}",
        show_pos=bool(counted),
        show_percent=False,
        show_eta=False,
        item_show_func=lambda text: None if text is None else str(text),
    ) as shown:
        yield shown.update


@contextmanager
def step(what: str) -> Iterator[None]:
    """On a terminal's stderr: what is done at the moment; gone when that is over."""
    if not sys.stderr.isatty():
        yield
        return
    click.secho(f"{what} ...", dim=True, nl=False, err=True)
    try:
        yield
    finally:
        click.echo("\r\033[K", nl=False, err=True)


def tell_wait(seconds: float, reason: Refused) -> None:
    """On a terminal: why nothing happens."""
    if sys.stderr.isatty():
        # In place of a bar, which comes again below.
        click.secho(f"\r\033[KWaiting {seconds:.0f} s: {reason}", dim=True, err=True)


def say(where: object, what: str, facts: dict[str, Any], files: list[Path], as_json: bool) -> None:
    """What was written where; nothing if stdout has the images."""
    if as_json:
        click.echo(json.dumps(facts | {"files": [str(path) for path in files]}))
    elif files:
        click.echo(one_line(f"{where}: {what} of {facts['model']}@{facts['version']}"))


def show_drawn(drawn: Samples, to: Output, names: Sequence[str], quality: int | None, as_json: bool) -> None:
    """Write a grid of them, or into a folder one picture each, of these names; and say what was written where."""
    if not to.folder:
        files = {"": encode(drawn.images, to.format, quality)}
    else:
        files = {
            f"{name}.{to.format}": encode(drawn.images[i : i + 1], to.format, quality)
            for i, name in enumerate(names)
        }
    labels, seeds = (None if given is None else given.tolist() for given in (drawn.labels, drawn.seeds))
    facts = {"model": drawn.model, "version": drawn.version, "labels": labels, "seeds": seeds}
    what = f"{len(drawn.images)} images" if len(drawn.images) > 1 else "1 image"
    if seeds:
        what += f", seeds {seeds[0]} to {seeds[-1]}," if len(seeds) > 1 else f", seed {seeds[0]},"
    say(to.path, what, facts, to.write(files), as_json)


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
    if facts["images_per_core_second"]:
        speed += f", {facts['images_per_core_second']:,.0f} images per core-second"
    click.echo(f"{facts['answered']:,} answered in {facts['seconds']:.1f} s: {speed}")
    if facts["errors"]:
        click.echo(f"errors: {named(facts['errors'])}")


def named(errors: dict[str, int]) -> str:
    return ", ".join(f"{one_line(code)} {count:,}" for code, count in errors.items())


def show(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """A table on stdout. Columns of `ms` stand to the right."""
    rows = [heads, *([one_line(str(text)) for text in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if head == "ms" else text.ljust(width)
            for head, text, width in zip(heads, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


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
