"""The versions that lie in a models folder: `generator.onnx`, and every other `*.onnx` beside it.

A version is its file's content, whatever the file is called.
"""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence, Set
from filecmp import cmp
from pathlib import Path

from msgspec import Struct

from service.errors import ContractError
from service.generator.contract import files_beside, version
from service.generator.encoder import encoder_of
from service.generator.file.folded import beside
from service.generator.file.reading import contents, has_text_name
from service.generator.file.signed import SIGNATURE
from service.generator.loading import FILE, card_of
from service.generator.quality.reference import watch_of
from service.registry.desired_state import DesiredModel, DesiredState, write
from service.registry.models import folders

log = logging.getLogger("bentoml.ganserve.versions")


class Found(Struct, frozen=True):
    """A version in a models folder. modified: seconds since 1970."""

    path: Path
    version: str
    modified: float


def find(root: Path) -> dict[str, list[Found]]:
    """By model: `generator.onnx` first, then the newest. A file that can't be read is passed over, and a model whose
    `generator.onnx` can't. Raises OSError for `root` itself.
    """
    models: dict[str, list[Found]] = {}
    for folder in sorted(folders(root)):
        found: dict[str, Found] = {}
        for path in sorted(folder.glob("*.onnx"), key=lambda path: path.name != FILE):
            if not has_text_name(path):
                log.warning("%r is passed over: its name is no text", path)
                continue
            try:
                one = Found(path, version(contents(path)), path.stat().st_mtime)
            except OSError as error:
                log.warning("%s is passed over: %s", path, error, extra={"event": "file_passed_over"})
                continue
            found.setdefault(one.version, one)
        ones = list(found.values())
        if ones and ones[0].path.name == FILE:
            models[folder.name] = [ones[0], *sorted(ones[1:], key=lambda one: -one.modified)]
    return models


def merge(
    before: DesiredState | None,
    found: Mapping[str, Sequence[Found]],
    failed: Mapping[str, Set[str]],
    most: int,
    shared: Path | None,
) -> tuple[DesiredState, list[str]]:
    """The desired state with what was found; and, in words, what is more than may be loaded.

    failed: versions that can't be served, by model; they go with their files, all others stay. most: versions of a
    model. shared: where copies go, if they are needed. Raises nothing.
    """
    after = DesiredState() if before is None else before.copy()
    after.reloads += 1
    left_out = []
    for name, ones in found.items():
        first = ones[0].version
        model = after.models.setdefault(name, DesiredModel({}, first))
        broken = failed.get(name, set())
        for gone in broken - {one.version for one in ones} - {model.canary}:
            model.versions.pop(gone, None)
        for one in ones:
            if one.version not in model.versions and len(model.versions) >= most:
                left_out.append(
                    f"{name}@{one.version} ({one.path.name}): there are {most} versions in memory, and "
                    "GANSERVE_MAX_VERSIONS allows no more: retire one."
                )
            else:
                model.versions[one.version] = _source(one, model.versions.get(one.version), shared)
        if model.version in broken and first in model.versions:
            model.version = first  # nothing is lost by it
    return after, left_out


def _source(one: Found, known: str | None, shared: Path | None) -> str:
    """The name of the file that a version is to be loaded from, by itself or by its copy; known: what it was."""
    if shared is None:
        return one.path.name
    copies = kept(shared, one.path.parent.name, one.version)
    if known is not None and known != one.path.name and (copies / known).is_file():
        return known
    try:
        keep(one, shared)
    except (OSError, ContractError) as error:
        text = "there is no copy of %s for workers that start later: %s"
        log.warning(text, one.path, error, extra={"event": "file_not_copied"})
    return one.path.name


def keep(one: Found, shared: Path) -> None:
    """A copy of the file, those of its weights, its card, its judge and its encoder, for workers that start after the file was replaced.

    Raises OSError, and ContractError if the file is another by now.
    """
    folder = kept(shared, one.path.parent.name, one.version)
    folder.mkdir(parents=True, exist_ok=True)
    for other in (card_of(one.path), watch_of(one.path), encoder_of(one.path)):
        copy = folder / other.name
        if not other.is_file():
            copy.unlink(missing_ok=True)
        elif not copy.is_file() or not cmp(other, copy, shallow=False):  # else workers would read it again
            write(copy, other.read_bytes())
    if (folder / one.path.name).is_file():
        return
    file = contents(one.path)
    if version(file) != one.version:
        raise ContractError("it changed while it was read", "reload again")
    for name in files_beside(file):
        shutil.copyfile(beside(one.path.parent, name), folder / name)
    if one.path.with_name(SIGNATURE).is_file():  # which is of all that lies there
        for other in one.path.parent.iterdir():
            if other.is_file() and other != one.path:
                shutil.copyfile(other, folder / other.name)
    write(folder / one.path.name, file)
    os.utime(folder / one.path.name, (one.modified, one.modified))


def kept(shared: Path, name: str, version: str) -> Path:
    """The folder of a version's copy, whether it is there or not."""
    return shared / "files" / name / version


def forget(shared: Path, name: str, version: str) -> None:
    """Remove a version's copy, if there is one."""
    shutil.rmtree(kept(shared, name, version), ignore_errors=True)
