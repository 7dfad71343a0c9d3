"""A folder per class and a file per image: what torchvision's ImageFolder and many others read."""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganserve.generating.plan import Origin, Plan, Shard
from ganserve.generating.writing.formats import Drawn, decoded, entry_of

UNCONDITIONAL = "images"
"""The one folder of a model without classes: such loaders want one."""


class Folder:
    name = "folder"

    def __init__(self, out: Path, origin: Origin, plan: Plan) -> None:
        self.root = out
        self._plan = plan
        # What a server calls a class can't lead to another folder.
        self._folders = ["".join(c if _stays(c) else "_" for c in slug) for slug in origin.slugs]

    def encode(self, drawn: Drawn) -> list[tuple[str, bytes]]:
        return list(zip(self._names(drawn.block.seeds), drawn.pngs(), strict=True))

    def begin(self, shard: Shard) -> "_FolderWriter":
        for name in self._folders or [UNCONDITIONAL]:
            (self.root / name).mkdir(exist_ok=True)
        return _FolderWriter(self.root, shard)

    def pictures(self, entry: dict[str, Any], seeds: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        names = (self._names(range(seed, seed + 1))[0] for seed in seeds)
        return {
            seed: decoded((self.root / name).read_bytes()) for seed, name in zip(seeds, names, strict=True)
        }

    def digest(self, entry: dict[str, Any]) -> tuple[int, str]:
        """Bytes and SHA-256 of a shard as it is there. Raises OSError."""
        first, last = entry["seeds"]
        writer = _FolderWriter(self.root, Shard(0, range(first, last + 1)))
        for name in self._names(range(first, last + 1)):
            writer.count((self.root / name).read_bytes())
        entry = writer.close()
        return entry["bytes"], entry["sha256"]

    def _names(self, seeds: range) -> list[str]:
        labels = self._plan.labels_of(seeds)
        if labels is None:
            return [f"{UNCONDITIONAL}/{seed}.png" for seed in seeds]
        return [f"{self._folders[label]}/{seed}.png" for seed, label in zip(seeds, labels, strict=True)]


class _FolderWriter:
    """Its hash is that of the files' bytes, one after another in the order of the seeds."""

    def __init__(self, root: Path, shard: Shard) -> None:
        self._root, self._shard = root, shard
        self._bytes, self._hash = 0, hashlib.sha256()

    def add(self, encoded: list[tuple[str, bytes]]) -> None:
        for name, png in encoded:
            (self._root / name).write_bytes(png)
            self.count(png)

    def count(self, png: bytes) -> None:
        self._bytes += len(png)
        self._hash.update(png)

    def close(self) -> dict[str, Any]:
        return entry_of("", self._shard, self._bytes, self._hash.hexdigest())

    def abandon(self) -> None:
        """The same files are written again."""


def _stays(c: str) -> bool:
    """Letters, digits, and the marks that are vowels in many scripts."""
    return c in "-_" or unicodedata.category(c)[0] in "LNM"
