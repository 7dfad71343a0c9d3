"""A set against its manifest: every shard by its hash, and some of the pictures drawn again."""

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganserve.generating import manifest as manifests
from ganserve.generating.likeness import is_same, levels, worst
from ganserve.generating.plan import Block, Plan, Refused, Shard
from ganserve.generating.sets import MANIFEST, SUFFIXES, Source, described, find_manifest, format_of
from ganserve.generating.writing.folder import Folder
from ganserve.generating.writing.formats import Format

_MOST_SHARDS = 4
"""That pictures are taken from: a shard is read to its end for them."""
_SHOWN = 5


def verify(
    place: Path, samples: int, source_of: Callable[[str], Source], tell: Callable[[int], None]
) -> dict[str, Any]:
    """What was found right. place: as find_manifest takes it. samples: pictures to draw again.

    source_of: who draws `model@version`. tell: called with how many more images are hashed.
    Raises Refused with all that is wrong; OSError.
    """
    path = find_manifest(place)
    manifest = manifests.read(path)
    origin, plan = described(manifest)
    format = format_of(_out(path, manifest), origin, plan)
    faults = []
    for shard in manifest["shards"]:
        if fault := _fault(format, shard):
            faults.append(fault)
        tell(shard["images"])
    if sum(shard["images"] for shard in manifest["shards"]) != manifest["images"]:
        faults.append("shards are missing from the manifest")
    if faults:
        more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise Refused(f"{place} is not what its manifest says: {'; '.join(faults[:_SHOWN])}{more}.")
    facts = {name: manifest[name] for name in ("model", "version", "images", "format")}
    facts |= {"shards": len(manifest["shards"]), "drawn_again": 0}
    if samples:
        source = source_of(f"{origin.model}@{origin.version}")
        facts |= _draw_again(source, plan, format, manifest["shards"], samples)
    return facts


def _out(path: Path, manifest: dict[str, Any]) -> Path:
    """What --out was."""
    if manifest["format"] == "folder":
        return path.parent
    out = path.with_name(path.name.removesuffix(f".{MANIFEST}"))
    if out.suffix not in SUFFIXES:
        raise Refused(f"{path}: '{manifest['format']}' is no format of this version.")
    return out


def _fault(format: Format, shard: dict[str, Any]) -> str | None:
    what = shard["file"] or f"seeds {shard['seeds'][0]} to {shard['seeds'][1]}"
    try:
        if isinstance(format, Folder):
            size, sha256 = format.digest(shard)
        else:
            with (format.root / shard["file"]).open("rb") as file:
                sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is not there"
    if (size, sha256) != (shard["bytes"], shard["sha256"]):
        return f"{what} has other bytes"
    return None


def _draw_again(
    source: Source, plan: Plan, format: Format, shards: Sequence[dict[str, Any]], samples: int
) -> dict[str, Any]:
    """Raises Refused where a picture is another one."""
    chance = random.Random(0)  # the same pictures each time
    chosen = chance.sample(shards, min(_MOST_SHARDS, len(shards)))
    wanted: dict[int, Any] = {}
    for i, shard in enumerate(chosen):
        first, last = shard["seeds"]
        count = min(last - first + 1, samples // len(chosen) + (i < samples % len(chosen)))
        wanted |= format.pictures(shard, sorted(chance.sample(range(first, last + 1), count)))
    blocks = []
    for seed in wanted:
        seeds = range(seed, seed + 1)
        blocks.append(Block(Shard(0, seeds), seeds, plan.labels_of(seeds), plan.texts_of(seeds)))
    apart = []
    for block, pixels in source.encoded(plan, blocks, False, lambda drawn: drawn.pixels()[0]):
        seed = block.seeds[0]
        apart.append(levels(wanted[seed], pixels))
        if not is_same(apart[-1]):
            raise Refused(
                f"The picture of seed {seed} is not the one that {source.origin.model}@{source.origin.version} draws: "
                f"mean {apart[-1]['mean']:.2f} levels apart."
            )
    return {"drawn_again": len(apart), "levels": worst(apart)}
