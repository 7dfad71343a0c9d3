"""`ganserve verify`: is a picture the one that it says it is?"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from ganserve.client import DEFAULT_TIMEOUT_SECONDS, Client
from ganserve.errors import GanserveError
from ganserve.generating.likeness import is_same, levels
from ganserve.generating.plan import Refused
from ganserve.options import json_option
from ganserve.provenance.told import facts_of

_USUAL_FRAME_MILLISECONDS = 80


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
    ganserve verify way.gif --url http://localhost:3000

    Exit codes: 0 it is that image; 1 it is another one, or does not say what it is.
    """
    try:
        content = picture.read_bytes()
        facts = facts_of(content)
        address = f"{facts['model']}@{facts['version']}"
        format, got = _decoded(content)
        route, request = _request_of(facts)
        if url is None:
            from ganserve.provenance.redrawn import redrawn

            drawn = redrawn(model or facts["model"], facts["version"], route, request)
        else:
            drawn = _drawn_there(url, api_key, address, facts)
        # Encoded as it was, so that what its format loses is lost again.
        _, want = _decoded(_file(format, route, drawn, facts))
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
        how = "bit for bit" if not apart["max"] else f"but for rounding, {apart['max']:g} levels at most"
        click.echo(f"{picture}: {_which(facts)} of {address}, {how}")


def _which(facts: dict[str, Any]) -> str:
    if "request" in facts:
        return f"what {facts['route']} draws"
    first, last = facts["seeds"]
    return f"seed {first}" if first == last else f"seeds {first} to {last}"


def _request_of(facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "request" in facts:
        return facts["route"], facts["request"]
    first, last = facts["seeds"]
    request = {"seed": first, "n": last - first + 1, "truncation": facts["truncation"]}
    return "/v1/samples", request | ({} if facts["labels"] is None else {"label": facts["labels"]})


def _drawn_there(url: str, api_key: str | None, address: str, facts: dict[str, Any]) -> NDArray[np.uint8]:
    """uint8 [n, H, W, C]."""
    with Client(url, api_key=api_key, timeout=DEFAULT_TIMEOUT_SECONDS) as client:
        if "request" in facts:
            fields = facts["request"] | {"model": address, "format": "npy"}
            return np.load(io.BytesIO(client.post(facts["route"], fields).content), allow_pickle=False)
        first, last = facts["seeds"]
        return client.sample(
            facts["labels"], last - first + 1, first, truncation=facts["truncation"], model=address
        ).images


def _file(format: str, route: str, drawn: NDArray[np.uint8], facts: dict[str, Any]) -> bytes:
    """drawn: uint8 [n, H, W, C]."""
    from service.generator import images

    pixels = np.ascontiguousarray(drawn.transpose(0, 3, 1, 2))
    if size := facts.get("size"):
        width, height = map(int, size.split("x"))
        pixels = np.stack([images.resize(image, height, width) for image in pixels])
    if format == "GIF":
        request = facts.get("request", {})
        return images.gif(pixels, int(request.get("frame_milliseconds", _USUAL_FRAME_MILLISECONDS)))
    image = images.grid(pixels) if route == "/v1/samples" else images.strip(pixels)
    encoders: dict[str, Callable[[], bytes]] = {
        "PNG": lambda: images.png(image),
        "WEBP": lambda: images.webp(image),
        "JPEG": lambda: images.jpeg(image, facts.get("quality", 90)),
        "AVIF": lambda: images.avif(image, facts.get("quality", 75)),
    }
    if format not in encoders:
        raise Refused(f"ganserve makes no {format}.")
    return encoders[format]()


def _decoded(file: bytes) -> tuple[str, NDArray[np.uint8]]:
    """The format, and its frames, uint8 [frames, H, W, 4]. Raises Refused."""
    try:
        with Image.open(io.BytesIO(file)) as picture:
            frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)]
            return f"{picture.format}", np.stack(frames)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise Refused(f"A picture can't be read: {error}.") from None


if __name__ == "__main__":
    verify(prog_name="ganserve verify")
