"""Pictures as files, in a folder, a zip or a tar: class folders, train/ and test/ with them, or one heap."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath

from training.data.dataset import Dataset
from training.data.encoded import collect, of_use
from training.data.labels import split_of, split_of_folder
from training.data.layouts import trees
from training.data.layouts.beside import by_files_beside
from training.data.layouts.trees import Tree
from training.data.notes import Notes, printable
from training.data.request import Place, Request
from training.errors import UserError


def holds(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith((*trees.ZIP, *trees.TAR))


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    with tree_of(asked.path, asked.notes) as tree:
        return read_tree(tree, asked)


def tree_of(path: Path, notes: Notes) -> AbstractContextManager[Tree]:
    if not path.is_dir():
        return (
            trees.zipped(path) if path.name.lower().endswith(trees.ZIP) else trees.tarred([path], path.parent)
        )
    tree = trees.folder(path)
    shards = sorted(path / name for name in tree.names if name.lower().endswith(trees.TAR))
    pictures = list(filter(trees.is_picture, tree.names))
    # Beside class folders an archive is something else, a copy of them for one; beside shards a picture is a logo.
    if len(pictures) > len(shards) or not shards:
        return nullcontext(tree)
    for name in pictures:
        notes.left_out("beside the archives", name)
    return trees.tarred(shards, path)


def read_tree(tree: Tree, asked: Request) -> Dataset:
    notes = asked.notes
    pictures = list(filter(trees.is_picture, tree.names))
    places, used = by_files_beside(tree, pictures, notes) or (None, set())
    for name in sorted({*tree.names} - {*pictures} - used):
        notes.left_out(f"{PurePosixPath(name).suffix or 'no suffix'}, which is no picture's", name)
    # `.NET` may be meant as a class; what tools keep in such folders is mostly no picture.
    for name in sorted(tree.hidden):
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


def by_folders(tree: Tree, pictures: list[str], notes: Notes) -> list[Place]:
    """The class of a picture is the folder that it lies in, or the one above that. Raises UserError."""
    paths = list(map(tree.as_folders, pictures))
    top = trees.wrapping(paths)
    inside = {
        name: path.removeprefix(top).split("/")[:-1] for name, path in zip(pictures, paths, strict=True)
    }
    loose = [name for name, folders in inside.items() if not folders]
    first = {folders[0] for folders in inside.values() if folders}
    called = splits = {folder: split for folder in first if (split := split_of_folder(folder))}
    if first and set(splits) == first and "train" not in splits.values():
        raise UserError(f"{tree.path} holds no training images, only {', '.join(sorted(first))}")
    if "train" not in splits.values() or (len(splits) == 1 and len(first) > 1):
        # "train" alone among others is a class: of locomotives.
        splits = {}
    if not first:
        if tree.shards:
            notes.noted(
                "archives whose names tell no class, read as parts of one", tree.path.name, len(tree.shards)
            )
        return [Place(name, None, "") for name in loose]
    if loose and not splits:
        raise UserError(
            f"{tree.path} holds {len(loose):,} images beside the class folders ({some(loose)}): move them into that of their class"
        )
    training = [f"{top}{folder}/" for folder, split in splits.items() if split == "train"]
    for folder, split in splits.items():
        own = [folders for folders in inside.values() if folders[:1] == [folder]]
        # Kaggle's train/train/.
        if (
            len(own[0]) > 1
            and split_of_folder(own[0][1]) == split
            and all(one[1:2] == own[0][1:2] for one in own)
        ):
            training = [one + f"{own[0][1]}/" * (one == f"{top}{folder}/") for one in training]
            for one in own:
                del one[1]
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
    deep = {folder for folder, found in depths.items() if min(found) > 1}
    # Never the test images, to be trained on.
    upper = min(
        depths, default="", key=lambda folder: (split_of(folder) != "train", split_of(folder) != "", folder)
    )
    if deep and called and not splits:
        raise UserError(
            f"{tree.path}: {some(called)} is called as a split is, and {some(first - called.keys())} not: call what is held out "
            f"test, val, valid, validation, dev or eval, and what is trained on train, or give '{printable(upper)}' alone"
        )
    if deep and deep == depths.keys():
        raise UserError(
            f"{tree.path} is one level too high: its subfolder '{printable(upper)}' holds the class folders; give that one"
        )
    refuse_empty(tree, training or [top], paths)
    return places


def refuse_empty(tree: Tree, tops: list[str], pictures: list[str]) -> None:
    filled = {name[: name.index("/", len(top))] for top in tops for name in pictures
              if name.startswith(top) and "/" in name[len(top) :]}  # fmt: skip
    empty = sorted(
        folder for folder in {*map(tree.as_folders, tree.folders)} - filled
        for top in tops if folder.startswith(top) and "/" not in folder[len(top) :]
    )  # fmt: skip
    if empty and filled:
        names = ", ".join(printable(str(tree.path / folder)) for folder in empty)
        raise UserError(f"{names} holds no images: every subfolder is a class, so remove it or fill it")


def some(names: Collection[str]) -> str:
    return ", ".join(map(printable, sorted(names)[:5])) + ", ..." * (len(names) > 5)
