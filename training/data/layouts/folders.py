"""Pictures as files, in a folder, a zip or a tar: class folders, train/ and test/ with them, or one heap."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from training.data.dataset import Dataset
from training.data.encoded import collect, of_use
from training.data.labels import split_of, split_of_folder
from training.data.layouts import trees
from training.data.layouts.beside import by_files_beside
from training.data.layouts.trees import Tree
from training.data.notes import Notes, printable
from training.data.picture import SUFFIXES
from training.data.request import Place, Request
from training.errors import UserError


def holds(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith((*trees.ZIP, *trees.TAR))


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    with tree_of(asked.path) as tree:
        return read_tree(tree, asked)


def tree_of(path: Path) -> AbstractContextManager[Tree]:
    if not path.is_dir():
        return trees.zipped(path) if path.name.lower().endswith(trees.ZIP) else trees.tarred([path])
    shards = sorted(file for file in path.rglob("*") if file.name.lower().endswith(trees.TAR))
    return trees.tarred(shards) if shards else trees.folder(path)


def read_tree(tree: Tree, asked: Request) -> Dataset:
    notes = asked.notes
    pictures = [name for name in tree.names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    places, used = by_files_beside(tree, pictures, notes) or (None, set())
    for name in sorted({*tree.names} - {*pictures} - used):
        notes.left_out(f"{PurePosixPath(name).suffix or 'no suffix'}, which is no picture's", name)
    for name in hidden_classes(tree.path):
        notes.left_out("a folder of pictures that hides itself by the dot before its name", name)
    if not pictures:
        raise UserError(f"{tree.path} holds no images: give a folder with one subfolder per class")
    places = places or by_folders(tree, pictures, notes)
    kept = of_use(places, any(place.label is not None for place in places), notes)

    def contents() -> Iterator[bytes]:
        for place in kept:
            try:
                yield tree.read(place.name)
            # Encrypted, cut short, not to be read: as damaged as an empty one.
            except Exception:
                yield b""

    return collect(kept, contents, asked, tree.path)


def hidden_classes(path: Path) -> list[str]:
    """`.NET` may be meant as a class; what tools keep in such folders is mostly no picture, and not looked for deeper."""
    folders = [one for one in path.iterdir() if one.name.startswith(".")] if path.is_dir() else []
    return sorted(
        one.name
        for one in folders
        if one.is_dir() and any(file.suffix.lower() in SUFFIXES for file in one.iterdir())
    )


def by_folders(tree: Tree, pictures: list[str], notes: Notes) -> list[Place]:
    """The class of a picture is the folder that it lies in, or the one above that. Raises UserError."""
    top = wrapping(pictures)
    inside = {name: name.removeprefix(top).split("/")[:-1] for name in pictures}
    loose = [name for name, folders in inside.items() if not folders]
    first = {folders[0] for folders in inside.values() if folders}
    splits = {folder: split for folder in first if (split := split_of_folder(folder))}
    if first and set(splits) == first and "train" not in splits.values():
        raise UserError(f"{tree.path} holds no training images, only {', '.join(sorted(first))}")
    if "train" not in splits.values() or (len(splits) == 1 and len(first) > 1):
        # "train" alone among others is a class: of locomotives.
        splits = {}
    if not first:
        return [Place(name, None, "") for name in loose]
    if loose and not splits:
        shown = ", ".join(map(printable, loose[:5])) + ", ..." * (len(loose) > 5)
        raise UserError(
            f"{tree.path} holds {len(loose):,} images beside the class folders ({shown}): move them into that of their class"
        )
    places = []
    depths: dict[str, set[int]] = defaultdict(set)
    for name, folders in inside.items():
        split = splits.get(folders[0], "") if folders else ""
        if splits and not split:
            notes.left_out("beside the folders of the splits", name)
            continue
        classes = folders[1:] if splits else folders
        if len(classes) > 1:
            notes.noted("in a folder within a class's, read as of that class", name)
        if classes:
            depths[classes[0]].add(len(classes))
        places.append(Place(name, classes[0] if classes else None, split))
    if depths and all(min(deep) > 1 for deep in depths.values()):
        # Never the test images, to be trained on.
        upper = printable(min(depths, key=lambda folder: split_of(folder) in ("test", "val")))
        raise UserError(
            f"{tree.path} is one level too high: its subfolder '{upper}' holds the class folders; give that one"
        )
    training = [f"{top}{folder}/" for folder, split in splits.items() if split == "train"]
    refuse_empty(tree, training or [top], pictures)
    return places


def wrapping(pictures: list[str]) -> str:
    """The one folder, or folder in a folder, in which all class folders lie, as archives are packed: `set/`."""
    top = ""
    while True:
        below = [name.removeprefix(top).split("/") for name in pictures]
        folder = below[0][0]
        if split_of_folder(folder) or any(len(parts) < 3 or parts[0] != folder for parts in below):
            return top
        top += f"{folder}/"


def refuse_empty(tree: Tree, tops: list[str], pictures: list[str]) -> None:
    filled = {name[: name.index("/", len(top))] for top in tops for name in pictures
              if name.startswith(top) and "/" in name[len(top) :]}  # fmt: skip
    empty = sorted(
        folder for folder in tree.folders - filled
        for top in tops if folder.startswith(top) and "/" not in folder[len(top) :]
    )  # fmt: skip
    if empty and filled:
        names = ", ".join(printable(str(tree.path / folder)) for folder in empty)
        raise UserError(f"{names} holds no images: every subfolder is a class, so remove it or fill it")
