"""What a set is, beside it as JSON: while it is made, one line a shard that is whole; then one document.

A shard gets its name, and after that its line. Whoever is killed in between makes it again, in the same bytes.
"""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ganserve.generating.plan import Refused, Shard

SCHEMA = 1
_FREE = ("command",)  # of the facts; the others make it another set


class Journal:
    """The manifest of a set that is being made. One process at a time has it."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        """path: of the manifest. facts: of the set, as JSON has them. Raises Refused, OSError."""
        self.path = path
        self.shards: dict[int, dict[str, Any]] = {}
        """Those that are whole, by their number."""
        self._facts = json.loads(json.dumps({"schema": SCHEMA} | facts))
        self.is_whole = path.exists()
        if self.is_whole:
            manifest = read(path)
            self._require_same(manifest)
            self._facts, self.shards = manifest, dict(enumerate(manifest["shards"]))
            return
        self._part = path.with_name(f"{path.name}.part")
        self._file = self._part.open("a+b")
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused(f"{self._part}: another process is making this set.") from None
            self._take_up()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if not self.is_whole:
            self._file.close()

    def note(self, shard: Shard, facts: dict[str, Any]) -> None:
        """It is whole, and has its name."""
        self.shards[shard.number] = facts
        self._write({"shard": shard.number} | facts)

    def finish(self) -> dict[str, Any]:
        """All shards are there. Returns the manifest."""
        manifest = self._facts | {"shards": [self.shards[number] for number in sorted(self.shards)]}
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")
        new.replace(self.path)
        self._part.unlink()
        return manifest

    @property
    def facts(self) -> dict[str, Any]:
        return self._facts

    def _take_up(self) -> None:
        self._file.seek(0)
        kept = 0
        lines = []
        for line in self._file.read().splitlines(keepends=True):
            if not line.endswith(b"\n"):  # it was killed in the middle of it
                break
            lines.append(json.loads(line))
            kept += len(line)
        self._file.truncate(kept)
        if not lines:
            self._write(self._facts)
            return
        self._require_same(lines[0])
        for line in lines[1:]:
            self.shards[line.pop("shard")] = line

    def _require_same(self, other: dict[str, Any]) -> None:
        for name, value in self._facts.items():
            if name not in _FREE and other.get(name) != value:
                raise Refused(
                    f"{self.path.parent} has another set under that name: its {name} is {other.get(name)}, not {value}."
                )

    def _write(self, document: dict[str, Any]) -> None:
        self._file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path: Path) -> dict[str, Any]:
    """A manifest. Raises Refused, OSError."""
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["schema"] != SCHEMA:
            raise Refused(f"{path}: schema {manifest['schema']}; this version reads {SCHEMA}.")
        return manifest | {"shards": [dict(shard) for shard in manifest["shards"]]}
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path} is no manifest of a set.") from None
