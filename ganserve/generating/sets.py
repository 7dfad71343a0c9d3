"""A set, from its plan to its manifest: what is there already is kept, the rest is drawn, written and noted shard by shard."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from ganserve.generating.manifest import Journal
from ganserve.generating.plan import Block, Origin, Plan, Refused, Shard
from ganserve.generating.writing import card
from ganserve.generating.writing.folder import Folder
from ganserve.generating.writing.formats import Drawn, Format, Npz, Tar, Writer

MANIFEST = "manifest.json"
SUFFIXES = (".tar", ".parquet", ".npz")
_OTHERS = (
    ".zip",
    ".gz",
    ".tgz",
    ".zst",
    ".npy",
    ".h5",
    ".hdf5",
    ".arrow",
    ".csv",
    ".tfrecord",
    ".png",
    ".jpg",
    ".webp",
)
"""Who asks for one of these does not want a folder of that name."""

Encode = Callable[[Drawn], Any]


class Source(Protocol):
    """Who draws: an engine in this process, or a server."""

    origin: Origin
    most_batch: int
    has_truncation: bool

    def label_of(self, name: str) -> int | None: ...

    def require_texts(self, texts: Sequence[str]) -> None:
        """Raises Refused where the model does not read these, as far as is known before it draws."""
        ...

    def encoded(
        self, plan: Plan, blocks: Iterable[Block], metadata: bool, encode: Encode
    ) -> Generator[tuple[Block, Any], None, None]:
        """Each block with what `encode` makes of its pictures, in order. metadata: whether a picture says what it is."""
        ...


def manifest_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.{MANIFEST}") if out.suffix in SUFFIXES else out / MANIFEST


def format_of(out: Path, origin: Origin, plan: Plan) -> Format:
    """By the suffix of `out`; a folder has none of these. Raises Refused."""
    shards = len(plan.shards)
    if out.suffix not in SUFFIXES and out.suffix.lower() in (*SUFFIXES, *_OTHERS):
        raise Refused(f"{out} is no format of a set: {', '.join(SUFFIXES)}, or a folder.")
    if out.suffix == ".tar":
        return Tar(out, shards)
    if out.suffix == ".npz":
        return Npz(out, shards, origin)
    if out.suffix == ".parquet":
        from ganserve.generating.writing.parquet import Parquet

        return Parquet(out, shards, origin, bool(plan.texts))
    return Folder(out, origin, plan)


def facts_of(origin: Origin, plan: Plan, format: Format, metadata: bool, command: str) -> dict[str, Any]:
    channels, height, width = origin.image
    return {
        "model": origin.model,
        "version": origin.version,
        "engine": origin.engine,
        "precision": origin.precision,
        "classes": list(origin.classes),
        "slugs": list(origin.slugs),
        "image": {"channels": channels, "height": height, "width": width},
        "format": format.name,
        "metadata": metadata,
        "command": command,
    } | plan.facts()


def make(
    source: Source, plan: Plan, out: Path, metadata: bool, command: str, tell: Callable[[int], None]
) -> dict[str, Any]:
    """Draw and write what is missing of a set. Returns its manifest.

    tell: called with how many more images are written, those that were there already included.
    Raises Refused, OSError, and what the source raises; what was written by then is kept.
    """
    path = manifest_path(out)
    format = format_of(out, source.origin, plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    if format.name == "parquet":
        card.claim(out.parent, path)
    with Journal(path, facts_of(source.origin, plan, format, metadata, command)) as journal:
        left = [shard for shard in plan.shards if shard.number not in journal.shards]
        tell(sum(len(shard.seeds) for shard in plan.shards) - sum(len(shard.seeds) for shard in left))
        if left:
            _write(source, plan, format, left, metadata, journal, tell)
        if journal.is_whole:
            return journal.facts
        manifest = journal.finish()
    if format.name == "parquet":
        card.write(out.parent, manifest)
    return manifest


def _write(
    source: Source,
    plan: Plan,
    format: Format,
    shards: list[Shard],
    metadata: bool,
    journal: Journal,
    tell: Callable[[int], None],
) -> None:
    writer: Writer | None = None
    written = 0
    drawn = source.encoded(plan, plan.blocks(shards), metadata, format.encode)
    try:
        with closing(drawn):
            for block, encoded in drawn:
                if writer is None:
                    writer, written = format.begin(block.shard), 0
                writer.add(encoded)
                written += len(block.seeds)
                if written == len(block.shard.seeds):
                    journal.note(block.shard, writer.close())
                    writer = None
                tell(len(block.seeds))
    finally:
        if writer is not None:
            writer.abandon()


class Progress:
    """How fast it goes and how long it will take, from what was written since it began."""

    def __init__(self, total: int, show: Callable[..., None]) -> None:
        self._total, self._show = total, show
        self.images = self._kept = 0
        self._begun = 0.0

    def __call__(self, images: int) -> None:
        self.images += images
        if not self._begun:  # the first call is of what was there
            self._kept, self._begun = self.images, time.monotonic()
        speed = self.images_per_second
        left = f", {_clock((self._total - self.images) / speed)} left" if speed else ""
        self._show(images, f"{speed:,.0f} images/s{left}")

    @property
    def drawn(self) -> int:
        return self.images - self._kept

    @property
    def images_per_second(self) -> float:
        """Since it began; 0 before."""
        passed = time.monotonic() - self._begun
        return self.drawn / passed if self._begun and passed > 0 else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def find_manifest(place: Path) -> Path:
    """Of a set: the manifest itself, what --out was, or the folder. Raises Refused."""
    if place.name.endswith(MANIFEST):
        return place
    if place.suffix in SUFFIXES:
        return manifest_path(place)
    found = sorted(place.glob(f"*{MANIFEST}"))
    if len(found) != 1:
        what = "no manifest" if not found else f"{len(found)} manifests: name one"
        raise Refused(f"{place} has {what}.")
    return found[0]


def described(manifest: dict[str, Any]) -> tuple[Origin, Plan]:
    """What made the set, and its plan. Raises Refused."""
    try:
        image = manifest["image"]
        origin = Origin(
            manifest["model"],
            manifest["version"],
            manifest["engine"],
            manifest["precision"],
            manifest["classes"],
            manifest["slugs"],
            (image["channels"], image["height"], image["width"]),
        )
        first, last = manifest["seeds"]
        seeds, size = range(first, last + 1), manifest["shard_images"]
        return origin, Plan(
            seeds, manifest["labels"], manifest["truncation"], size, size, manifest.get("texts", ())
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"The manifest lacks {json.dumps(str(error))}.") from None
