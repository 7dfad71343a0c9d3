"""Options that several commands share, and the client that they ask for."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np

from ganserve.client import DEFAULT_TIMEOUT_SECONDS, Client, Label, checked_z
from ganserve.files import QUALITIES, output
from ganserve.server import DEFAULT_URL
from ganserve.terminal import tell_wait

Command = Callable[..., Any]

MAX_SEED = 2**53 - 1

json_option = click.option("--json", "as_json", is_flag=True, help="Facts as JSON on stdout.")


def with_client(command: Command) -> Command:
    """--url, --api-key and --timeout; the command gets the `client` that they describe."""

    @click.option(
        "--url",
        envvar="GANSERVE_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        help="The server.",
    )
    @click.option(
        "--api-key",
        envvar="GANSERVE_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help="Sent as `Authorization: Bearer KEY`.",
    )
    @click.option(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_SECONDS,
        show_default=True,
        help="Seconds for one request, waiting for a busy server included.",
    )
    @functools.wraps(command)
    def run(url: str, api_key: str | None, timeout: float, **options: Any) -> None:
        try:
            client = Client(url, api_key=api_key, timeout=timeout, on_wait=tell_wait)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        with client:
            command(client=client, **options)

    return run


def scalars(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, float] | None:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise click.BadParameter(f"'{text}': write NAME=0.7.") from None
        finite(ctx, option, found[name])
    return found or None


scalar_option = click.option(
    "--scalar",
    "scalars",
    multiple=True,
    callback=scalars,
    metavar="NAME=VALUE",
    help="What else the model takes, as its card's inputs say: psi=0.7. May be repeated.",
)
model_option = click.option(
    "--model", metavar="NAME", help="Model, or name@version; else the server's default."
)
text_option = click.option("--text", help="What is to be drawn, of a model that reads a text.")
quality_option = click.option(
    "--quality",
    type=click.IntRange(0, 100),
    help="Of .jpg (by default 90) and .avif (75); more is nearer to the pixels.",
)


PICTURES = ("png", "webp", "jpg", "avif", "npy")
IN_FILES = "NAME.png, .webp, .jpg or .avif: a grid. NAME.npy: uint8 [n, H, W, C]. FOLDER/: one picture {}. -: stdout."


def with_output(formats: Sequence[str], help: str, folders: bool = False) -> Callable[[Command], Command]:
    """What all that draw have: --scalar, --text, --model, --quality; and -o, --format, --force and --json.

    The command gets the Output `to` that these describe, and `as_json`.
    """

    def add(command: Command) -> Command:
        @scalar_option
        @text_option
        @model_option
        @quality_option
        @click.option("-o", "--output", "path", required=True, metavar="PATH", help=help)
        @click.option("--format", type=click.Choice(formats), help="Where no suffix says it.")
        @click.option("--force", is_flag=True, help="Overwrite what exists.")
        @json_option
        @functools.wraps(command)
        def run(
            path: str, format: str | None, force: bool, as_json: bool, quality: int | None, **options: Any
        ) -> None:
            if as_json and path == "-":
                raise click.UsageError("--json and -o - both want stdout.")
            to = output(path, format, force, formats, folders)
            if quality is not None and to.format not in QUALITIES:
                raise click.UsageError(f"--quality is of .jpg and .avif, not of .{to.format}.")
            command(to=to, as_json=as_json, quality=quality, **options)

        return run

    return add


def finite(ctx: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):  # NaN is in every range
        raise click.BadParameter(f"{value} is no number.")
    return value


def label_of(ctx: click.Context, option: click.Parameter, given: str | None) -> Label | None:
    """A class, or weights of several: Sneaker=0.3,Ankle boot=0.7. Text that ends otherwise is a class's name."""
    weights = {}
    for text in (given or "").split(","):
        name, equals, value = text.rpartition("=")
        try:
            weights[name.strip()] = float(value if equals else "")
        except ValueError:
            return given
        finite(ctx, option, weights[name.strip()])
    return weights


def labels(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Label | list[Label] | None:
    """One for all images, or one an image."""
    found = [one for text in given if (one := label_of(ctx, option, text)) is not None]
    return found[0] if len(found) == 1 else found or None


def z_file(ctx: click.Context, option: click.Parameter, file: str | None) -> np.ndarray | None:
    """float64 [n, z_dim]."""
    if file is None:
        return None
    try:
        return checked_z(np.load(file, allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise click.BadParameter(f"{file}: {error}") from None


label_option = click.option(
    "--label",
    multiple=True,
    callback=labels,
    metavar="CLASS",
    help="Class, slug or index; or weights of several, where a model takes them: 'Sneaker=0.3,Ankle boot=0.7'. Repeated: one an image.",
)
truncation_option = click.option(
    "--truncation",
    type=click.FloatRange(0, 1, min_open=True),
    callback=finite,
    default=1.0,
    show_default=True,
    help="Scales z: less variety, more typical images.",
)
