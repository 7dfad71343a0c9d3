"""The command line: `ganserve`, or `python -m ganserve`."""

import errno
import gc
import json
from typing import Any

import click
import numpy as np

from ganserve.bench import Load
from ganserve.client import INTERPOLATIONS, SAMPLES, Client, Label, given
from ganserve.ctrl_c import heeded
from ganserve.errors import GanserveError, Unreachable
from ganserve.files import Output, image_names
from ganserve.options import (
    IN_FILES,
    MAX_SEED,
    PICTURES,
    finite,
    json_option,
    label_of,
    label_option,
    model_option,
    truncation_option,
    with_client,
    with_output,
    z_file,
)
from ganserve.programs import PROGRAMS
from ganserve.terminal import bar, named, say, show_drawn, show_load, show_models, with_next_step
from ganserve.translating.command import translate

UNREACHABLE, INTERRUPTED = 3, 130
FORMATS = {"jpg": "jpeg"}
"""What the server calls the suffixes that it has another name for."""


class NotReached(click.ClickException):
    exit_code = UNREACHABLE


class Commands(click.Group):
    """Failures as one line and a documented exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with heeded():
                return super().invoke(ctx)
        except Unreachable as error:
            raise NotReached(with_next_step(error)) from error
        except GanserveError as error:
            raise click.ClickException(with_next_step(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head`: click ends without a word
                raise
            raise click.ClickException(f"{error.filename or 'stdout'}: {error.strerror}.") from error
        except MemoryError:
            raise click.ClickException("There is not enough memory for so many images at once.") from None
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, commands=PROGRAMS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ganserve")
def main() -> None:
    """Images from a running ganserve server.

    \b
    ganserve sample --label Sneaker -n 16 --seed 1 -o grid.png
    ganserve interpolate 1 2 3 --label Bag -o way.gif
    ganserve translate sneaker.png --model sneaker-to-boot -o boot.png
    ganserve models
    ganserve bench --connections 64

    `ganserve serve` is such a server, `ganserve training` makes its models, and `ganserve import` makes one of anyone's
    trained generator: each an extra of the package.

    The server is GANSERVE_URL, or --url of each command; a key is GANSERVE_API_KEY, or --api-key.

    Exit codes: 0 done; 1 the server refused or failed, or a file could not be written; 2 wrong usage,
    or an extra is not installed; 3 the server was not reached, or did not answer in time; 130 interrupted. Results go to stdout and to files;
    messages and progress to stderr.
    """


@main.command()
@label_option
@click.option("-n", "n", type=click.IntRange(1), help="How many images.  [default: 1, or as --label or --z]")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Of the first image; drawn if not given.")
@click.option(
    "--z",
    type=click.Path(exists=True, dir_okay=False),
    callback=z_file,
    help="A .npy of [n, z_dim], instead of a seed.",
)
@truncation_option
@with_output(PICTURES, IN_FILES.format("an image, label-seed.png"), folders=True)
@with_client
def sample(
    client: Client,
    label: Label | list[Label] | None,
    n: int | None,
    seed: int | None,
    z: np.ndarray | None,
    quality: int | None,
    to: Output,
    as_json: bool,
    **asked: Any,
) -> None:
    """Draw images and write them to a file."""
    if z is not None and seed is not None:
        raise click.UsageError("--z and --seed exclude each other: z is what a seed stands for.")
    total = n or (len(label) if isinstance(label, list) else 1 if z is None else len(z))
    with bar(total, "images") as tell:
        drawn = client.sample(label, n, seed, z=z, tell=tell, **asked)
    names = image_names(client, drawn) if to.folder else []
    show_drawn(drawn, to, names, quality, as_json)


@main.command()
@click.argument("seeds", nargs=-1, required=True, type=click.IntRange(0, MAX_SEED), metavar="SEED SEED...")
@click.option("--steps", type=click.IntRange(2), help="Images from a seed to the next, both included.")
@click.option("--path", "way", type=click.Choice(["linear", "spherical"]), help="How z is led.")
@click.option("--loop", is_flag=True, help="Back to the first seed.")
@label_option
@truncation_option
@with_output(
    ("png", "webp", "jpg", "avif", "gif", "npy"),
    "NAME.png, .webp, .jpg or .avif: one row. NAME.gif: an animation. NAME.npy: uint8 [n, H, W, C]. -: stdout.",
)
@with_client
def interpolate(
    client: Client,
    seeds: tuple[int, ...],
    way: str | None,
    quality: int | None,
    to: Output,
    as_json: bool,
    **asked: Any,
) -> None:
    """Draw what lies between the images of two or more seeds."""
    if len(seeds) < 2:
        raise click.UsageError("There is no way from one seed alone: give two or more.")
    fields = given(seeds=seeds, path=way, quality=quality, **asked)
    fields |= {"format": FORMATS.get(to.format, to.format)}
    answer = client.post(INTERPOLATIONS, fields)
    name, version = client.origin(answer)
    facts = {"model": name, "version": version, "seeds": seeds}
    say(to.path, f"seeds {', '.join(map(str, seeds))}", facts, to.write({"": answer.content}), as_json)


@main.command()
@json_option
@with_client
def models(client: Client, as_json: bool) -> None:
    """What the server serves, by which engine."""
    cards = client.models()
    if as_json:
        click.echo(json.dumps(cards, indent=2))
    else:
        show_models(cards)


@main.command()
@click.option("--connections", type=click.IntRange(1, 10_000), default=16, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000, min_open=True),
    callback=finite,
    help="Open loop: so many requests a second are due, whatever the server does, and latencies count from "
    "then. Without it closed loop: every connection asks again when it is answered.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.01, 86_400), callback=finite, default=10, show_default=True
)
@click.option("-n", "n", type=click.IntRange(1), default=1, show_default=True, help="Images a request.")
@click.option(
    "--format",
    type=click.Choice(["png", "webp", "jpeg", "avif", "npy", "json"]),
    default="png",
    show_default=True,
)
@click.option(
    "--label",
    metavar="CLASS",
    callback=label_of,
    help="Class of every image, or weights of several; else the seed decides.",
)
@truncation_option
@model_option
@click.option(
    "--seed", type=click.IntRange(0, 2**52), default=0, show_default=True, help="Of the first image."
)
@json_option
@with_client
def bench(
    client: Client,
    connections: int,
    rate: float | None,
    seconds: float,
    n: int,
    format: str,
    label: Label | None,
    truncation: float,
    model: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Load the server, and show how long it takes to answer.

    Latencies are those of requests answered with images; errors are counted by code beside them. Up to a
    millisecond of an open loop's latency is this program's own timer.
    """
    fields = given(model=model, label=label, n=n, format=format, truncation=truncation)
    # What can't be answered at all ends here, with the server's own words.
    address = "@".join(client.origin(client.post(SAMPLES, fields | {"seed": seed})))
    load = Load(client.server, fields, connections, seconds, rate, seed)
    with bar(round(seconds * 1000)) as show:
        shown = 0

        def tell(passed: float) -> None:
            nonlocal shown
            steps, shown = round(passed * 1000) - shown, round(passed * 1000)
            show(steps, f"{load.images / (passed or 1):,.0f} images/s, {load.errors.total()} errors")

        # A full collection would hold everything up for some 15 ms: it would look at all that was imported.
        gc.freeze()
        load.run(tell)
    facts = {"model": address} | load.facts()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        show_load(facts)
    if not load.latencies:
        raise click.ClickException(f"No request was answered with images: {named(load.errors)}.")


main.add_command(translate)


if __name__ == "__main__":
    main(prog_name="ganserve")
