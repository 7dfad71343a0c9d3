"""`ganserve generate`: the command line. What it needs beyond the client is imported when it runs."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ganserve.client import DEFAULT_TIMEOUT_SECONDS
from ganserve.ctrl_c import heeded
from ganserve.errors import GanserveError
from ganserve.generating.plan import Refused, plan
from ganserve.generating.sets import Progress, Source, make
from ganserve.generating.verifying import verify
from ganserve.options import MAX_SEED, json_option, truncation_option
from ganserve.terminal import bar, step, with_next_step

INTERRUPTED = 130
_OF_VERIFY = {"place", "model", "url", "api_key", "samples", "as_json"}


@click.command("generate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model", metavar="MODEL", help="A folder with generator.onnx, such a file, or a model's name."
)
@click.option("--n", "-n", "n", type=click.IntRange(1), help="How many images.")
@click.option("--per-class", type=click.IntRange(1), help="How many of each class, instead.")
@click.option(
    *("--label", "--class", "labels"),
    multiple=True,
    metavar="CLASS",
    help="Class, slug or index; repeated: they take turns by the seed. All classes if not given.",
)
@click.option(
    "--text",
    "texts",
    multiple=True,
    help="Of a model that reads one; repeated: they take turns by the seed. The empty text if not given.",
)
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, help="Of the first image."
)
@truncation_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="DIR: a folder per class of PNGs. shards.tar: WebDataset. set.parquet: the Hub's layout. set.npz: pixels.",
)
@click.option(
    "--shard-images", type=click.IntRange(1), help="Images of a file, or of what is drawn again after a kill."
)
@click.option(
    "--metadata/--no-metadata",
    default=True,
    envvar="GANSERVE_PROVENANCE",
    help="Whether a picture says what made it.  [default: it does, but with GANSERVE_PROVENANCE=off]",
)
@click.option(
    "--url", help="Of a server that draws, in place of this machine: below its other requests in priority."
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Draw on every core of a Ray cluster that this machine is a node of: auto, or HOST:PORT.",
)
@click.option("--api-key", envvar="GANSERVE_API_KEY", show_envvar=True, metavar="KEY", help="For --url.")
@click.option("--verify", "place", type=click.Path(path_type=Path), help="Check a set against its manifest.")
@click.option(
    "--samples",
    type=click.IntRange(0),
    default=16,
    show_default=True,
    help="Pictures that --verify draws again.",
)
@json_option
@click.pass_context
def generate(ctx: click.Context, place: Path | None, as_json: bool, **options: Any) -> None:
    """Draw a set of images into files, on every core of this machine: as many as you like.

    \b
    ganserve generate --model fashion-mnist --n 1000000 --out sets/fashion.tar
    ganserve generate --model models/faces --per-class 5000 --out sets/faces/train.parquet
    ganserve generate --model models/faces --n 1000 --label cat --truncation 0.7 --out sets/cats
    ganserve generate --verify sets/faces

    A set that was interrupted or killed goes on where it was, by the same command: none of its images is missing then,
    and none is there twice. Image i is that of seed SEED + i, the same one that the service gives. What the set is
    stands beside it in a manifest, with the hash of each shard.

    Exit codes: 0 done; 1 it can't be done, or the set is not what its manifest says; 2 wrong usage; 130 interrupted.
    """
    _check_together(ctx, place is not None)
    try:
        with heeded():
            facts = _verify(place, as_json, **options) if place else _generate(as_json, **options)
    except GanserveError as error:
        raise click.ClickException(with_next_step(error)) from error
    except (Refused, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or options['out']}: {error.strerror}.") from error
    except MemoryError:
        raise click.ClickException("There is not enough memory.") from None
    except KeyboardInterrupt:
        click.echo("Interrupted; the same command goes on.", err=True)
        ctx.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(facts))


def _check_together(ctx: click.Context, is_verifying: bool) -> None:
    """No option is left unheeded. Raises UsageError."""
    given = {
        option.name: option.opts[0]
        for option in ctx.command.params
        if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }
    if is_verifying and (odd := [option for name, option in given.items() if name not in _OF_VERIFY]):
        raise click.UsageError(f"--verify looks at a set that there is: it has no use for {', '.join(odd)}.")
    if not is_verifying and "samples" in given:
        raise click.UsageError("--samples is of --verify.")
    if {"url", "ray"} <= given.keys():
        raise click.UsageError("Who is to draw? --url, or --ray.")


def _generate(
    as_json: bool,
    model: str | None,
    n: int | None,
    per_class: int | None,
    labels: tuple[str, ...],
    texts: tuple[str, ...],
    seed: int,
    truncation: float,
    out: Path | None,
    shard_images: int | None,
    metadata: bool,
    url: str | None,
    ray: str | None,
    api_key: str | None,
    samples: int,
) -> dict[str, Any]:
    if out is None:
        raise click.UsageError("Where to? --out FOLDER, shards.tar, set.parquet or set.npz.")
    if n is None and per_class is None:
        raise click.UsageError("How many? --n, or --per-class.")
    if model is None and url is None:
        raise click.UsageError("Of which model? --model.")
    with step(f"Loading {model or url}"):
        source = _source(model, url, api_key, ray)
    origin = source.origin
    indexes = [_label(source, name) for name in labels]
    if texts:
        source.require_texts(texts)
    if truncation != 1 and not source.has_truncation:
        raise Refused(
            f"With {origin.model} truncation changes nothing, as where z is brought to one length: leave it out."
        )
    made = plan(origin, n, per_class, seed, indexes, truncation, shard_images, source.most_batch, texts)
    command = shlex.join(["ganserve", "generate", *sys.argv[1:]])
    begun, used = time.monotonic(), time.process_time()
    with bar(len(made.seeds), "images") as show:
        progress = Progress(len(made.seeds), show)
        manifest = make(source, made, out, metadata, command, progress)
    seconds = time.monotonic() - begun
    facts = {name: manifest[name] for name in ("model", "version", "engine", "precision", "images", "seeds")}
    facts |= {"out": str(out), "shards": len(manifest["shards"]), "drawn": progress.drawn}
    facts |= {"seconds": seconds, "images_per_second": progress.drawn / seconds}
    if url is None and ray is None:
        facts["images_per_core_second"] = progress.drawn / (time.process_time() - used)
    if not as_json:
        speed = f", {progress.drawn / seconds:,.0f} images/s" if progress.drawn else ": all were there"
        click.echo(
            f"{out}: {len(made.seeds):,} images of {origin.model}@{origin.version}, seeds {made.seeds[0]} to "
            f"{made.seeds[-1]}{speed}"
        )
    return facts


def _verify(
    place: Path,
    as_json: bool,
    model: str | None,
    url: str | None,
    api_key: str | None,
    samples: int,
    **_: Any,
) -> dict[str, Any]:
    def source_of(address: str) -> Source:
        found = _source(model or address, url, api_key)
        _, _, version = address.partition("@")
        if found.origin.version != version:
            raise Refused(f"{model} is version {found.origin.version}, and the set is of {version}.")
        return found

    with bar(0) as show:
        facts = verify(place, samples, source_of, lambda images: show(0, f"{images:,} images"))
    if not as_json:
        again = f"{facts['drawn_again']} pictures drawn again" if samples else "no picture drawn again"
        click.echo(
            f"{place}: {facts['images']:,} images in {facts['shards']} shards as its manifest says, {again}"
        )
    return facts


def _source(model: str | None, url: str | None, api_key: str | None, ray: str | None = None) -> Source:
    if url is not None:
        from ganserve.generating.remote import RemoteModel

        return RemoteModel(url, api_key, model, DEFAULT_TIMEOUT_SECONDS)
    assert model is not None
    if ray is not None:
        from ganserve.generating.cluster import ClusterModel

        return ClusterModel(model, ray)
    from ganserve.generating.engine import LocalModel

    return LocalModel(model)


def _label(source: Source, name: str) -> int:
    label = source.label_of(name)
    if label is None:
        classes = source.origin.classes
        allowed = ", ".join(classes[:50]) if classes else "none, it is unconditional"
        raise Refused(
            f"'{name}' is no class of {source.origin.model}; it has {allowed}. An image of a set is of one class."
        )
    return label


if __name__ == "__main__":
    generate(prog_name="ganserve generate")
