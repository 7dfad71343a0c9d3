"""Folders, zip archives and tar archives as one thing: files by name, each read when it is asked for."""

import io
import lzma
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from training.data.labels import split_of, split_of_folder
from training.data.picture import SUFFIXES
from training.errors import UserError

Entry = TypeVar("Entry")
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
ZIP, TAR = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class Tree(NamedTuple):
    """names: of all files, with `/`, as they are best read one after the other. folders: those that hold nothing too.

    hidden: folders of pictures that a dot before their name hides. shards: archives with which the names begin, and
    what each says of its pictures, as a folder would: a class, a split, or nothing.
    """

    path: Path
    names: list[str]
    folders: set[str]
    read: Callable[[str], bytes]
    hidden: set[str]
    shards: Mapping[str, str]

    def shard_of(self, name: str) -> str:
        """Empty where there are none."""
        return next((one for one in map(str, PurePosixPath(name).parents) if one in self.shards), "")

    def as_folders(self, name: str) -> str:
        """The name with what its archive says in the place of the archive's name."""
        shard = self.shard_of(name)
        return self.shards[shard] + name.removeprefix(f"{shard}/") if shard else name


def folder(path: Path) -> Tree:
    """Links are followed, but for one that leads back up. What hides itself, and what systems leave behind, is not seen."""
    dots: list[Path] = []
    found = below(path, frozenset({path.resolve()}), dots)
    entries = {entry.relative_to(path).as_posix(): entry.is_dir() for entry in found}
    folders = {name for name, is_folder in entries.items() if is_folder}
    files = [name for name in entries if name not in folders]
    with_pictures = {one.relative_to(path).as_posix() for one in dots if holds_pictures(one)}
    return Tree(path, files, folders, lambda name: whole(path / name), with_pictures, {})


def below(path: Path, above: frozenset[Path], dots: list[Path]) -> Iterator[Path]:
    """dots: gets the folders that hide themselves, which are not looked into."""
    for entry in sorted(path.iterdir()):
        if hidden(entry.name):
            dots += [entry] if entry.name.startswith(".") and entry.is_dir() else []
        elif not entry.is_dir():
            yield entry
        elif (real := entry.resolve()) not in above:
            yield entry
            yield from below(entry, above | {real}, dots)


def holds_pictures(path: Path) -> bool:
    with suppress(PermissionError):
        return any(is_picture(file.name) for file in path.iterdir())
    return False


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


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
        said = ((name_of(entry, path).replace("\\", "/"), entry) for entry in archive.infolist())
        places, folders, dots = unpacked(((name, entry, name.endswith("/")) for name, entry in said), path)
        yield Tree(path, list(places), folders, lambda name: archive.read(places[name]), dots, {})


def name_of(entry: zipfile.ZipInfo, path: Path) -> str:
    """Raises UserError where nobody can know in which letters a class is written."""
    name = entry.filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    try:
        # macOS writes UTF-8 and does not say so; what does not say so was read as of MS-DOS.
        return name.encode("cp437").decode("utf-8")
    except UnicodeEncodeError:  # A further field of the entry said it.
        return name
    except UnicodeDecodeError as error:
        if name.replace("\\", "/").rpartition("/")[0].isascii():
            return name
        raise UserError(
            f"{path}: a folder's name is in letters of an encoding that it does not tell ('{name}'): unpack it and give "
            "the folder, or pack it with names in UTF-8, as 7-Zip does"
        ) from error


@contextmanager
def tarred(paths: list[Path], root: Path) -> Iterator[Tree]:
    """One tar archive, or the shards of a data set in this folder. Raises UserError."""
    shards = said_by([path.relative_to(root).as_posix() for path in paths]) if len(paths) > 1 else {}
    entries: list[tuple[str, tuple[tarfile.TarFile, tarfile.TarInfo], bool]] = []
    with ExitStack() as until:
        for path, shard in zip_longest(paths, shards, fillvalue=""):
            try:
                archive = until.enter_context(tarfile.open(path))
                # Of one that was appended again the later counts.
                members = {member.name: member for member in archive}
            except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
                # It says in several lines what it is not.
                reason = " ".join(str(error).split())
                raise UserError(
                    f"{path} cannot be read as a tar archive: {reason}; copy or download it again"
                ) from error
            for name, member in members.items():
                if member.isfile() or member.isdir() or member.islnk() or member.issym():
                    entries.append((f"{shard}/{within(name)}", (archive, member), member.isdir()))
        where = root if shards else paths[0]
        places, folders, dots = unpacked(entries, where)

        def read(name: str) -> bytes:
            archive, member = places[name]
            # It follows links.
            return (archive.extractfile(member) or io.BytesIO()).read()

        yield Tree(where, list(places), folders, read, dots, shards)


def said_by(shards: list[str]) -> dict[str, str]:
    """What archives' names say of their pictures: `cat.tar` -> cat/, `train-0001.tar` -> train/, `0001.tar` -> nothing."""
    stems = {shard: re.sub(r"\.(tar|tgz)(\.\w+)?$", "", shard, flags=re.IGNORECASE) for shard in shards}
    numbers: dict[str, list[int]] = defaultdict(list)
    bases: dict[str, str] = {}
    for stem in stems.values():
        if found := re.search(r"[-_. /]*(\d+)([-_ ]*of[-_ ]*\d+)?$", stem):
            bases[stem] = stem[: found.start()]
            numbers[bases[stem]].append(int(found[1]))
    # Counted, as parts of one are: not ImageNet's n01440764.tar, nor 0.tar to 9.tar.
    parts = {
        base
        for base, found in numbers.items()
        if max(found) - min(found) == len(found) - 1
        and (len(found) > 1 or found[0] < 2)
        and (base or any(re.match(r"0\d", stem) for stem in bases))
    }
    names = {shard: bases[stem] if bases.get(stem) in parts else stem for shard, stem in stems.items()}
    splits = {shard: split_of(name.rpartition("/")[2]) for shard, name in names.items()}
    if all(splits.values()):
        names = splits
    elif len(set(names.values())) == 1:
        names = dict.fromkeys(names, "")
    return {shard: f"{name}/" if name else "" for shard, name in names.items()}


def unpacked(
    entries: Iterable[tuple[str, Entry, bool]], path: Path
) -> tuple[dict[str, Entry], set[str], set[str]]:
    """Files by their places, empty folders, and folders of pictures that hide themselves.

    entries: name, what it is of, and whether it is a folder. Raises UserError where two files have one place.
    """
    places: dict[str, Entry] = {}
    folders, dots = set[str](), set[str]()
    for said, entry, is_folder in entries:
        name = within(said)
        parent, _, _ = name.rpartition("/")
        if not seen(name):
            above, _, last = parent.rpartition("/")
            if is_picture(name) and last.startswith(".") and seen(above):
                dots.add(parent)
        elif is_folder:
            folders.add(name)
        elif places.setdefault(name, entry) is not entry:
            raise UserError(f"{path} holds {name} twice, once as '{said}': pack it anew, with each file once")
    filled = {""}
    for parent in {name.rpartition("/")[0] for name in places}:
        filled |= {parent, *map(str, PurePosixPath(parent).parents)}
    return places, folders - filled, dots


def wrapping(pictures: list[str]) -> str:
    """The one folder, or folder in a folder, in which all class folders lie, as archives are packed: `set/`."""
    top = ""
    while pictures:
        below = [name.removeprefix(top).split("/") for name in pictures]
        folder = below[0][0]
        if split_of_folder(folder) or any(len(parts) < 3 or parts[0] != folder for parts in below):
            break
        top += f"{folder}/"
    return top


def split_in(name: str, top: str) -> str:
    """The split that a picture's folder in this one is called by."""
    folder, inside, _ = name.removeprefix(top).partition("/")
    return split_of(folder) if inside else ""


def within(name: str) -> str:
    """A file's name in its archive, as it would be unpacked without a way out: `./a//1.png`, `../a/1.png` -> `a/1.png`."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def seen(name: str) -> bool:
    return not any(hidden(part) for part in name.split("/"))
