"""Numbers in memory, and in files in prometheus_client's multiprocess format that any worker can add up; and which are told.

Not by mmap, as prometheus_client writes them: on a full disk the first touch of a page that has no block ends the
process (SIGBUS). A write only fails.
"""

import logging
import os
import struct
from collections.abc import Callable, Iterator
from errno import ENOSPC
from pathlib import Path
from threading import Lock
from typing import Any

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.machine import instance

log = logging.getLogger("bentoml.ganserve.metrics")

_pid = os.getpid()  # a worker stays one process
_files: dict[str, "ValueFile"] = {}
_unwritten: "set[FileValue]" = set()


class FileValue:
    """One number, for prometheus_client.values.ValueClass; `flush` writes it to its file.

    A sample changes a dozen of them; written through, they took a fifth of its way through this process.
    """

    _multiprocess = True

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Any,
        labelvalues: Any,
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        if kind not in _files:
            _files[kind] = ValueFile(_path(f"{kind}_{_pid}.db"))
        self._lock = Lock()
        self._value = 0.0
        self.write = _files[kind].place(mmap_key(metric_name, name, labelnames, labelvalues, help_text))
        _unwritten.add(self)

    def inc(self, amount: float) -> None:
        with self._lock:
            self._value += amount
        _unwritten.add(self)

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._value = value
        _unwritten.add(self)

    def get(self) -> float:
        return self._value

    def get_exemplar(self) -> None:
        """None: the files have no place for one."""


class ValueFile:
    """A file of doubles by key: int32 bytes used, 4 bytes nothing; then of each entry int32 length of its key, the key
    padded to 8 bytes, value and timestamp."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = bytearray(8)
        self._is_written = False
        self._descriptor = -1
        self._lock = Lock()

    def place(self, key: str) -> Callable[[float], None]:
        """A place for the number of that key. Returns what puts one there."""
        encoded = key.encode()
        padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
        with self._lock:
            self._content += struct.pack(f"i{len(padded)}sdd", len(encoded), padded, 0.0, 0.0)
            struct.pack_into("i", self._content, 0, len(self._content))
            offset = len(self._content) - 16

        def put(value: float) -> None:
            struct.pack_into("d", self._content, offset, value)
            self._is_written = False

        return put

    def flush(self) -> None:
        """Raises OSError; then whoever reads the file finds older numbers."""
        with self._lock:
            if self._descriptor >= 0 and not self._path.exists():
                self._begin_anew()
            if self._is_written:
                return
            self._is_written = True
            try:
                self._write(bytes(self._content))
            except OSError:
                self._is_written = False
                raise

    def _begin_anew(self) -> None:
        """Somebody took the file away: what is written to it nobody can read."""
        log.error("%s was removed, and is written anew", self._path, extra={"event": "metrics_removed"})
        os.close(self._descriptor)
        self._descriptor, self._is_written = -1, False
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def _write(self, content: bytes) -> None:
        if self._descriptor < 0:
            # Under another name until there is something in it to read.
            unready = self._path.with_suffix(".new")
            self._descriptor = os.open(unready, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
            try:
                self._write(content)
                unready.rename(self._path)
            except OSError:
                os.close(self._descriptor)
                self._descriptor = -1
                raise
            return
        # The number of bytes used last: whoever reads meanwhile must not look for what is not there yet.
        for part, offset in ((content[8:], 8), (content[:8], 0)):
            if os.pwrite(self._descriptor, part, offset) < len(part):
                raise OSError(ENOSPC, os.strerror(ENOSPC), str(self._path))


def folder() -> Path | None:
    """Where the workers of this service put their files; None outside BentoML."""
    shared = instance.folder()
    return shared / "metrics" if shared else None


def _path(name: str) -> Path:
    within = folder()
    assert within is not None
    return within / name


def flush() -> None:
    """Write what has changed. Raises OSError, and then tries again the next time."""
    while True:
        try:
            value = _unwritten.pop()
        except (
            KeyError
        ):  # a visit to /metrics and the clock's thread both flush: the other one may have the last
            break
        value.write(value.get())
    for file in list(_files.values()):
        file.flush()


class Busy(Collector):
    """What another collects, without the histograms in which nothing was counted: 16 lines each, and of every model."""

    def __init__(self, of: Collector) -> None:
        self._of = of

    def collect(self) -> Iterator[Family]:
        for family in self._of.collect():
            if family.type == "histogram":
                idle = {
                    _labels(one) for one in family.samples if one.name.endswith("_count") and not one.value
                }
                family.samples = [one for one in family.samples if _labels(one) not in idle]
            yield family


def _labels(sample: Sample) -> tuple[tuple[str, str], ...]:
    """Those of its series, which its buckets have in common."""
    return tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
