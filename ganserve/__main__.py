"""The command line: `ganserve`, or `python -m ganserve`."""

import json
from typing import Any

import click
from rich.progress import TextColumn

from ganserve import bench as loading
from ganserve.errors import GanserveError, Unreachable
from ganserve.files import image_names, output, safe, sheet_name
from ganserve.options import (
    MAX_SEED,
    client_of,
    finite,
    force_option,
    json_option,
    label_option,
    model_option,
    one_or_all,
    output_option,
    read_z,
    server_options,
    truncation_option,
)
from ganserve.pictures import encode, encode_frames
from ganserve.terminal import bar, named, say, show_load, show_models

REFUSED, UNREACHABLE, INTERRUPTED = 1, 3, 130


class Failed(click.ClickException):
    """One line on stderr, and the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """Failures as one line and a documented exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unreachable as error:
            raise Failed(str(error), UNREACHABLE) from error
        except GanserveError as error:
            raise Failed(str(error), REFUSED) from error
        except MemoryError:
            raise Failed("There is not enough memory for so many images at once.", REFUSED) from None
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@server_options(envvars=True)
@click.version_option(package_name="ganserve")
def main() -> None:
    """Images from a running ganserve server.

    \b
    ganserve sample --label Sneaker -n 16 --seed 1 -o grid.png
    ganserve interpolate 1 2 3 --label Bag -o way.gif
    ganserve models
    ganserve bench --connections 64

    Exit codes: 0 done; 1 the server refused or failed, or a file could not be written; 2 wrong usage; 3 the
    server was not reached, or did not answer in time; 130 interrupted. Results go to stdout and to files;
    messages and progress to stderr.
    """


@main.command()
@label_option
@click.option("-n", "n", type=click.IntRange(1), help="How many images.  [default: 1, or as --label or --z]")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Of the first image; drawn if not given.")
@click.option("--z", "z_file", type=click.Path(exists=True, dir_okay=False), help="A .npy of [n, z_dim].")
@truncation_option
@model_option
@output_option(
    "NAME.png or .webp: a grid. NAME.npy: uint8 [n, H, W, C]. FOLDER/: one picture an image, label-seed.png. "
    "-: stdout. If not given, a .png named after the images."
)
@click.option("--format", type=click.Choice(["png", "webp", "npy"]), help="Where no suffix says it.")
@force_option
@json_option
@server_options(envvars=False)
@click.pass_context
def sample(
    ctx: click.Context,
    labels: tuple[str, ...],
    n: int | None,
    seed: int | None,
    z_file: str | None,
    truncation: float,
    model: str | None,
    path: str | None,
    format: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Draw images and write them to a file."""
    if as_json and path == "-":
        raise click.UsageError("--json and -o - both want stdout.")
    if z_file is not None and seed is not None:
        raise click.UsageError("--z and --seed exclude each other: z is what a seed stands for.")
    where = output(path, format, force, ("png", "webp", "npy"), folders=True)
    z = None if z_file is None else read_z(z_file)
    label = one_or_all(labels)
    total = n or (len(labels) if isinstance(label, list) else 1 if z is None else len(z))
    with bar(total) as (progress, task), client_of(ctx, progress) as client:

        def tell(count: int) -> None:
            progress.update(task, advance=count, refresh=True)

        drawn = client.sample(label, n, seed, z=z, truncation=truncation, model=model, tell=tell)
        names = image_names(client, drawn) if where.is_named_by_result else [""]
    if where.folder:
        pictures = [encode(drawn.images[i : i + 1], where.format) for i in range(len(drawn.images))]
        files = {f"{name}.{where.format}": file for name, file in zip(names, pictures, strict=True)}
    else:
        name = f"{safe(drawn.model)}-{sheet_name(names)}.{where.format}"
        files = {name: encode(drawn.images, where.format)}
    facts = {
        "model": drawn.model,
        "version": drawn.version,
        "images": len(drawn.images),
        "labels": None if drawn.labels is None else drawn.labels.tolist(),
        "seeds": None if drawn.seeds is None else drawn.seeds.tolist(),
    }
    say(facts, where.write(files), as_json, where.path if where.folder else None)


@main.command()
@click.argument("seeds", nargs=-1, required=True, type=click.IntRange(0, MAX_SEED), metavar="SEED SEED...")
@click.option("--steps", type=click.IntRange(2), help="Images from a seed to the next, both included.")
@click.option("--path", "way", type=click.Choice(["linear", "spherical"]), help="How z is led.")
@click.option("--loop", is_flag=True, help="Back to the first seed.")
@label_option
@truncation_option
@model_option
@output_option(
    "NAME.png or .webp: one row. NAME.gif: an animation. NAME.npy: uint8 [n, H, W, C]. -: stdout. "
    "If not given, a .png named after the seeds."
)
@click.option("--format", type=click.Choice(["png", "webp", "gif", "npy"]), help="Where no suffix says it.")
@force_option
@json_option
@server_options(envvars=False)
@click.pass_context
def interpolate(
    ctx: click.Context,
    seeds: tuple[int, ...],
    steps: int | None,
    way: Any,
    loop: bool,
    labels: tuple[str, ...],
    truncation: float,
    model: str | None,
    path: str | None,
    format: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Draw what lies between the images of two or more seeds."""
    if len(seeds) < 2:
        raise click.UsageError("There is no way from one seed alone: give two or more.")
    if as_json and path == "-":
        raise click.UsageError("--json and -o - both want stdout.")
    where = output(path, format, force, ("png", "webp", "gif", "npy"), folders=False)
    label = one_or_all(labels)
    with client_of(ctx) as client:
        frames = client.interpolate(
            seeds, steps=steps, path=way, label=label, truncation=truncation, loop=loop, model=model
        )
    name = f"{safe(frames.model)}-way-{'-'.join(map(str, seeds))[:100]}.{where.format}"
    facts = {
        "model": frames.model,
        "version": frames.version,
        "images": len(frames.images),
        "seeds": list(seeds),
    }
    say(facts, where.write({name: encode_frames(frames.images, where.format)}), as_json)


@main.command()
@json_option
@server_options(envvars=False)
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """What the server serves, by which engine."""
    with client_of(ctx) as client:
        cards = client.models()
    if as_json:
        click.echo(json.dumps(cards, indent=2))
    else:
        show_models(cards)


@main.command()
@click.option("--connections", type=click.IntRange(1, 10_000), default=16, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    help="Open loop: so many requests a second are due, whatever the server does, and latencies count from "
    "then. Without it closed loop: every connection asks again when it is answered.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.01, 86_400), callback=finite, default=10, show_default=True
)
@click.option("-n", "n", type=click.IntRange(1), default=1, show_default=True, help="Images a request.")
@click.option("--format", type=click.Choice(["png", "webp", "npy", "json"]), default="png", show_default=True)
@click.option("--label", metavar="CLASS", help="Class of every image; else the seed decides.")
@truncation_option
@model_option
@click.option(
    "--seed", type=click.IntRange(0, 2**52), default=0, show_default=True, help="Of the first image."
)
@json_option
@server_options(envvars=False)
@click.pass_context
def bench(
    ctx: click.Context,
    connections: int,
    rate: float | None,
    seconds: float,
    n: int,
    format: str,
    label: str | None,
    truncation: float,
    model: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Load the server, and show how long it takes to answer.

    Latencies are those of requests answered with images; errors are counted by code beside them. Up to a
    millisecond of an open loop's latency is this program's own timer.
    """
    fields = {"model": model, "label": label, "n": n, "format": format, "truncation": truncation}
    fields = {name: value for name, value in fields.items() if value is not None}
    with client_of(ctx) as client:
        # What can't be answered at all ends here, with the server's own words.
        address = "@".join(client.origin(client.post(loading.PATH, fields | {"seed": seed})))
    plan = loading.Plan(client.server, fields, connections, seconds, rate, seed)
    with bar(seconds, TextColumn("{task.description}")) as (progress, task):

        def tell(passed: float, result: loading.Result) -> None:
            speed = result.images / passed if passed else 0.0
            words = f"{speed:,.0f} images/s, {result.errors.total()} errors"
            progress.update(task, completed=min(passed, seconds), description=words, refresh=True)

        result = loading.load(plan, tell)
    facts = loading.facts(plan, result, address)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        show_load(facts)
    if not result.latencies:
        raise Failed(f"No request was answered with images: {named(facts['errors'])}.", REFUSED)


if __name__ == "__main__":
    main(prog_name="ganserve")
