"""What all workers are to serve, and what each of them serves: JSON files in a folder that they share.

`desired.json` is replaced whole, under a lock; its `change` counts up. Each worker does what it says and writes so into
a file of its own. The folder lives as long as the service; see instance.py.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
from msgspec import Meta, Struct

from service.machine import instance

_FILE = "desired.json"


class DesiredModel(Struct):
    """versions: those in memory, and the file that each was found in. version: gets the requests that name none,
    save the share, above 0 and below 1, that goes to the canary."""

    versions: Annotated[
        dict[str, str], Meta(description="Those in memory, and the file that each was found in.")
    ]
    version: Annotated[str, Meta(description="The one that gets requests that name none.")]
    canary: Annotated[str | None, Meta(description="The one that gets a share of them.")] = None
    share: Annotated[float, Meta(description="That share.")] = 0.0


class DesiredState(Struct):
    """By model. reloads: how often the models folder was read."""

    change: Annotated[int, Meta(description="Counts orders.")] = 0
    reloads: Annotated[int, Meta(description="Counts readings of the models folder.")] = 0
    models: Annotated[dict[str, DesiredModel], Meta(description="By name.")] = {}

    def copy(self) -> "DesiredState":
        """To be changed."""
        return msgspec.convert(msgspec.to_builtins(self), DesiredState)


class VersionState(Struct):
    """state: loading, ready or failed; problem: why it failed. share: of the requests that name no version."""

    state: Annotated[
        str,
        Meta(
            description="`loading`, `ready`, `failed`, or `idle`: not in memory, and loaded when it is asked for."
        ),
    ]
    share: Annotated[float, Meta(description="Of the requests that name no version.")]
    problem: Annotated[str, Meta(description="Why it failed.")] = ""


class Report(Struct):
    """A worker's. change: the newest that it knows; models: by model and version."""

    pid: Annotated[int, Meta(description="The worker's process.")]
    change: Annotated[int, Meta(description="The newest order that it has done, or is doing.")]
    models: Annotated[dict[str, dict[str, VersionState]], Meta(description="By name and version.")]


def folder() -> Path | None:
    """Where the workers of this service meet; None outside BentoML."""
    shared = instance.folder()
    return shared / "desired" if shared else None


def read(shared: Path) -> DesiredState | None:
    """None before the first worker has written it. Raises OSError."""
    try:
        return msgspec.json.decode((shared / _FILE).read_bytes(), type=DesiredState)
    except FileNotFoundError:
        return None


def mark(shared: Path) -> tuple[int, int] | None:
    """Differs from one `desired.json` to the next, and costs no reading. Raises OSError."""
    try:
        status = (shared / _FILE).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def change(shared: Path, edit: Callable[[DesiredState | None], DesiredState]) -> DesiredState:
    """Replace the desired state by edit(of it), unless that is the same object. Raises OSError, and what `edit` raises."""
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read(shared)
        after = edit(before)
        if after is not before:
            after.change = 1 if before is None else before.change + 1
            write(shared / _FILE, msgspec.json.encode(after))
        return after


def restore(shared: Path, known: DesiredState) -> bool:
    """Put back what a worker knows to be desired, if somebody took it away; whether that was so. Raises OSError."""
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (shared / _FILE).exists():
            return False
        write(shared / _FILE, msgspec.json.encode(known))
        return True


def report(shared: Path, own: Report) -> None:
    """Write what this worker serves. Raises OSError."""
    write(shared / f"worker-{own.pid}.json", msgspec.json.encode(own))


def reports(shared: Path) -> list[Report]:
    """Of every worker that runs and has joined. Raises OSError."""
    found = []
    for path in sorted(shared.glob("worker-*.json")):
        if psutil.pid_exists(int(path.stem.removeprefix("worker-"))):
            found.append(msgspec.json.decode(path.read_bytes(), type=Report))
    return found


def write(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all. Raises OSError."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_bytes(content)
    new.replace(path)
