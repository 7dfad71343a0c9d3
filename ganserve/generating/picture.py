"""`ganserve verify`: is a picture the one that it says it is? What it says, it says as XMP (docs/bulk.md)."""

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganserve.client import DEFAULT_TIMEOUT_SECONDS, Client
from ganserve.errors import GanserveError
from ganserve.files import grid, on_white
from ganserve.generating.likeness import is_same, levels
from ganserve.generating.plan import Block, Plan, Refused, Shard
from ganserve.generating.writing.formats import decoded
from ganserve.options import MAX_SEED, json_option

_MOST_IMAGES = 1024
_FACT = re.compile(rb'ganserve:(\w+)="([^"<]{0,8192})"')
_SEEDS = re.compile(r"(\d{1,16})(?:-(\d{1,16}))?", re.ASCII)


def facts_of(picture: bytes) -> dict[str, Any]:
    """What a picture says of itself: model, version, engine, truncation, seeds, labels. Raises Refused."""
    if b"urn:ganserve:picture:1" not in picture:
        raise Refused(
            "It does not say what made it: the server has GANSERVE_PROVENANCE off, or it was saved anew."
        )
    told = {name.decode(): value.decode("utf-8", "replace") for name, value in _FACT.findall(picture)}
    try:
        seeds = _SEEDS.fullmatch(told["seeds"])
        if seeds is None:
            raise ValueError
        first, last = int(seeds[1]), int(seeds[2] or seeds[1])
        labels = [int(label) for label in told["labels"].split(",")] if "labels" in told else None
        truncation = float(told["truncation"])
        if not (0 < truncation <= 1 and first <= last <= MAX_SEED and last - first < _MOST_IMAGES):
            raise ValueError
        count = last - first + 1
        if labels is not None and len(labels) not in (1, count):
            raise ValueError
        facts = {name: told[name] for name in ("model", "version", "engine")}
    except KeyError as error:
        raise Refused(f"It does not say its {error.args[0]}, so nothing draws it again.") from None
    except ValueError:
        raise Refused("What it says of itself can't be read.") from None
    if labels is not None and len(labels) == 1:
        labels *= count
    return facts | {"truncation": truncation, "seeds": [first, last], "labels": labels}


@click.command("verify", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model", metavar="MODEL", help="Draw it here: a folder or file of the model.  [default: by its name]"
)
@click.option("--url", help="Ask this server to draw it.")
@click.option("--api-key", envvar="GANSERVE_API_KEY", show_envvar=True, metavar="KEY", help="For --url.")
@json_option
def verify(picture: Path, model: str | None, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Draw a picture again, by what it says of itself, and compare.

    \b
    ganserve verify sneaker-7.png
    ganserve verify grid.webp --url http://localhost:3000

    Exit codes: 0 it is that image; 1 it is another one, or does not say what it is.
    """
    try:
        content = picture.read_bytes()
        facts, got = facts_of(content), decoded(content)
        address = f"{facts['model']}@{facts['version']}"
        if url is None:
            want = _drawn_here(model or address, address, facts)
        else:
            want = _drawn_there(url, api_key, address, facts)
        if got.shape[-1] == 3 and want.shape[-1] == 1:  # WebP has no grey
            want = np.repeat(want, 3, axis=-1)
        if got.shape[-1] == 3 and want.shape[-1] == 4:  # JPEG has no alpha, and WebP none where all is opaque
            want = np.asarray(on_white(Image.fromarray(want)))
        apart = levels(got, want)
    except (Refused, GanserveError, ValueError) as error:
        raise click.ClickException(f"{picture}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or picture}: {error.strerror}.") from error
    if not is_same(apart):
        raise click.ClickException(
            f"{picture} is not what {address} draws there: mean {apart['mean']:.2f} levels apart."
        )
    if as_json:
        click.echo(json.dumps(facts | {"levels": apart}))
    else:
        first, last = facts["seeds"]
        which = f"seed {first}" if first == last else f"seeds {first} to {last}"
        how = "bit for bit" if not apart["max"] else f"but for rounding, {apart['max']:g} levels at most"
        click.echo(f"{picture}: {which} of {address}, {how}")


def _drawn_here(model: str, address: str, facts: dict[str, Any]) -> NDArray[np.uint8]:
    """uint8 [H, W, C]."""
    from ganserve.generating.engine import LocalModel

    source = LocalModel(model)
    if f"{source.origin.model}@{source.origin.version}".partition("@")[2] != facts["version"]:
        raise Refused(f"{model} is version {source.origin.version}, and the picture is of {address}.")
    first, last = facts["seeds"]
    seeds = range(first, last + 1)
    if any(label >= len(source.origin.classes) for label in facts["labels"] or ()):
        raise Refused("It names a class that the model does not have.")
    plan = Plan(seeds, [], facts["truncation"], len(seeds), len(seeds))
    block = Block(Shard(0, seeds), seeds, facts["labels"])
    ((_, pixels),) = source.encoded(plan, [block], False, lambda drawn: drawn.pixels())
    return grid(pixels)


def _drawn_there(url: str, api_key: str | None, address: str, facts: dict[str, Any]) -> NDArray[np.uint8]:
    first, last = facts["seeds"]
    with Client(url, api_key=api_key, timeout=DEFAULT_TIMEOUT_SECONDS) as client:
        drawn = client.sample(
            facts["labels"], last - first + 1, first, truncation=facts["truncation"], model=address
        )
    return grid(drawn.images)


if __name__ == "__main__":
    verify(prog_name="ganserve verify")
