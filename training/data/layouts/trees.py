"""Folders, zip archives and tar archives as one thing: files by name, each read when it is asked for."""

import io
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from training.errors import UserError

_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
ZIP, TAR = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class Tree(NamedTuple):
    """names: of all files, with `/`, as they are best read one after the other. folders: those that hold nothing too.

    shards: whether a name begins with the archive that it is in.
    """

    path: Path
    names: list[str]
    folders: set[str]
    read: Callable[[str], bytes]
    shards: bool = False


@contextmanager
def folder(path: Path) -> Iterator[Tree]:
    """Links are followed, but for one that leads back up. What hides itself, and what systems leave behind, is not seen."""
    entries = {e.relative_to(path).as_posix(): e.is_dir() for e in below(path, frozenset({path.resolve()}))}
    folders = {name for name, is_folder in entries.items() if is_folder}
    files = [name for name in entries if name not in folders]
    yield Tree(path, files, folders, lambda name: whole(path / name))


def below(path: Path, above: frozenset[Path]) -> Iterator[Path]:
    for entry in sorted(path.iterdir()):
        if hidden(entry.name):
            continue
        if not entry.is_dir():
            yield entry
        elif (real := entry.resolve()) not in above:
            yield entry
            yield from below(entry, above | {real})


def whole(file: Path) -> bytes:
    # A pipe would be waited for.
    if not file.is_file():
        raise OSError("no file" if not file.is_symlink() else "a link to nothing")
    return file.read_bytes()


@contextmanager
def zipped(path: Path) -> Iterator[Tree]:
    """Raises UserError."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a zip archive: {error}; copy or download it again"
        ) from error
    with archive:
        # Some packers of Windows write its backslashes.
        entries = [entry for entry in archive.infolist() if not entry.filename.endswith(("/", "\\"))]
        places = {within(entry.filename.replace("\\", "/")): entry for entry in entries}
        names = [name for name in places if seen(name)]
        yield Tree(path, names, set(), lambda name: archive.read(places[name]))


@contextmanager
def tarred(paths: list[Path]) -> Iterator[Tree]:
    """One tar archive, or the shards of a data set. Raises UserError."""
    places: dict[str, tuple[tarfile.TarFile, tarfile.TarInfo]] = {}

    def read(name: str) -> bytes:
        archive, member = places[name]
        return (archive.extractfile(member) or io.BytesIO()).read()

    many = len(paths) > 1
    with ExitStack() as until:
        for path in paths:
            try:
                archive = until.enter_context(tarfile.open(path))
                for member in archive:
                    if member.isfile() and seen(name := within(member.name)):
                        places[f"{path.name}/{name}" if many else name] = archive, member
            except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
                # It says in several lines what it is not.
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"{path} cannot be read as a tar archive: {reason}; copy or download it again"
                ) from error
        yield Tree(paths[0].parent if many else paths[0], list(places), set(), read, shards=many)


def within(name: str) -> str:
    """A file's name in its archive, as it would be unpacked without a way out: `./a//1.png`, `../a/1.png` -> `a/1.png`."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def seen(name: str) -> bool:
    return not any(hidden(part) for part in name.split("/"))
