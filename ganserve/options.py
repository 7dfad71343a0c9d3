"""Options that several commands share, and the client that they ask for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from ganserve.client import DEFAULT_TIMEOUT_SECONDS, Client, checked_z
from ganserve.errors import Refused
from ganserve.server import DEFAULT_URL

F = TypeVar("F", bound=Callable[..., Any])

MAX_SEED = 2**53 - 1


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and option.name:
        ctx.ensure_object(dict)[option.name] = value


def server_options(envvars: bool) -> Callable[[F], F]:
    """--url, --api-key and --timeout: before the command, with their variables, and after it, which wins."""

    def add(command: F) -> F:
        for option in (
            click.option(
                "--timeout",
                type=click.FloatRange(0, min_open=True),
                expose_value=False,
                callback=_keep,
                help=f"Seconds for one request, waiting for a busy server included.  [default: {DEFAULT_TIMEOUT_SECONDS:g}]",
            ),
            click.option(
                "--api-key",
                envvar="GANSERVE_API_KEY" if envvars else None,
                show_envvar=envvars,
                expose_value=False,
                callback=_keep,
                metavar="KEY",
                help="Sent as `Authorization: Bearer KEY`.",
            ),
            click.option(
                "--url",
                envvar="GANSERVE_URL" if envvars else None,
                show_envvar=envvars,
                expose_value=False,
                callback=_keep,
                metavar="URL",
                help=f"The server.  [default: {DEFAULT_URL}]",
            ),
        ):
            command = option(command)
        return command

    return add


def finite(ctx: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not np.isfinite(value):  # NaN is in every range
        raise click.BadParameter(f"{value} is no number.")
    return value


label_option = click.option(
    "--label", "labels", multiple=True, metavar="CLASS", help="Class, slug or index; repeated: one an image."
)
model_option = click.option(
    "--model", metavar="NAME", help="Model, or name@version; else the server's default."
)
truncation_option = click.option(
    "--truncation",
    type=click.FloatRange(0, 1, min_open=True),
    callback=finite,
    default=1.0,
    show_default=True,
    help="Scales z: less variety, more typical images.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite what exists.")
json_option = click.option("--json", "as_json", is_flag=True, help="Facts as JSON on stdout.")


def output_option(help: str) -> Callable[[F], F]:
    return click.option("-o", "--output", "path", metavar="PATH", help=help)


@contextmanager
def client_of(ctx: click.Context, progress: Progress | None = None) -> Iterator[Client]:
    """The client that the options ask for; on a terminal a wait for a busy server is told."""

    def on_wait(seconds: float, reason: Refused) -> None:
        if sys.stderr.isatty():
            console = progress.console if progress else Console(stderr=True)
            console.print(
                f"Waiting {seconds:.0f} s: {reason}",
                markup=False,
                highlight=False,
                style="dim",
                soft_wrap=True,
            )

    try:
        client = Client(**(ctx.find_object(dict) or {}), on_wait=on_wait)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with client:
        yield client


def one_or_all(labels: tuple[str, ...]) -> str | list[str] | None:
    return labels[0] if len(labels) == 1 else list(labels) or None


def read_z(file: str) -> np.ndarray:
    """float64 [n, z_dim]. Raises BadParameter."""
    try:
        return checked_z(np.load(file, allow_pickle=False))
    except (ValueError, EOFError, OSError, TypeError) as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--z") from None
