"""What a picture says of itself, as XMP (docs/provenance.md); it was written by whoever wrote the picture."""

import json
import re
from typing import Any
from xml.sax.saxutils import unescape

from ganserve.client import TRANSLATIONS
from ganserve.generating.plan import Refused
from ganserve.options import MAX_SEED

MOST_IMAGES = 1024
ROUTES = ("/v1/samples", "/v1/interpolations", "/v1/arithmetic")
_FACT = re.compile(rb'ganserve:(\w+)="([^"<]{0,32768})"')
_SEEDS = re.compile(r"(\d{1,16})(?:-(\d{1,16}))?", re.ASCII)
_SIZE = re.compile(r"[1-9]\d{0,3}x[1-9]\d{0,3}", re.ASCII)


def facts_of(picture: bytes) -> dict[str, Any]:
    """Model, version, engine; truncation, seeds and labels, or route and request; size and quality. Raises Refused."""
    if b"urn:ganserve:picture:1" not in picture:
        raise Refused(
            "It does not say what made it: it is no picture of such a server, the server has GANSERVE_PROVENANCE off, "
            "or it was saved anew."
        )
    told = {
        name.decode(): unescape(value.decode("utf-8", "replace"), {"&quot;": '"'})
        for name, value in _FACT.findall(picture)
    }
    try:
        facts: dict[str, Any] = {name: told[name] for name in ("model", "version", "engine")}
        facts |= _request(told) if "request" in told else _seeds(told)
        if size := told.get("size"):
            if not _SIZE.fullmatch(size):
                raise ValueError
            facts["size"] = size
        if quality := told.get("quality"):
            facts["quality"] = int(quality)
            if not 0 <= facts["quality"] <= 100:
                raise ValueError
    except KeyError as error:
        raise Refused(f"It does not say its {error.args[0]}, so nothing draws it again.") from None
    except (ValueError, RecursionError):
        raise Refused("What it says of itself can't be read.") from None
    return facts


def _request(told: dict[str, str]) -> dict[str, Any]:
    if told["route"] == TRANSLATIONS:
        raise Refused("It was made of another picture, which it does not hold, so nothing draws it again.")
    request = json.loads(told["request"])
    if told["route"] not in ROUTES or not isinstance(request, dict):
        raise ValueError
    return {"route": told["route"], "request": request}


def _seeds(told: dict[str, str]) -> dict[str, Any]:
    seeds = _SEEDS.fullmatch(told["seeds"])
    if seeds is None:
        raise ValueError
    first, last = int(seeds[1]), int(seeds[2] or seeds[1])
    labels = [int(label) for label in told["labels"].split(",")] if "labels" in told else None
    truncation, count = float(told["truncation"]), last - first + 1
    if not (0 < truncation <= 1 and 0 < count <= MOST_IMAGES and last <= MAX_SEED):
        raise ValueError
    if labels is not None and len(labels) not in (1, count):
        raise ValueError
    if labels is not None and len(labels) == 1:
        labels *= count
    return {"truncation": truncation, "seeds": [first, last], "labels": labels}
