"""Classes in a table beside the pictures: .csv, .tsv, .jsonl, or Hugging Face's metadata.parquet."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from service.generator.classes import text_of
from training.data.labels import split_of, split_of_folder
from training.data.layouts.trees import Tree, split_in, within, wrapping
from training.data.notes import Notes
from training.data.picture import SUFFIXES
from training.data.request import Place
from training.errors import UserError, refused

LABEL = ("label", "cls", "class", "class_name", "category", "target", "labels", "breed", "species")
PARQUET = "metadata.parquet"
_SPLIT = ("split", "subset", "partition", "usage", "is_train", "is_test", "is_valid")
_FILES = (
    "file_name", "filename", "file", "path", "filepath", "file_path", "image", "image_path", "image_name", "image_id", "img",
)  # fmt: skip
Row = dict[Any, Any]
Find = Callable[[object], list[str]]


def by_tables(tree: Tree, pictures: list[str], notes: Notes) -> tuple[list[Place], set[str]] | None:
    """Where each picture belongs, and the tables that say so; None where none does. Raises UserError."""
    tables = [name for name in sorted(set(tree.names) - set(pictures), key=lambda name: (name.count("/"), name))
              if name.lower().endswith((".csv", ".tsv", ".jsonl")) or name.endswith(PARQUET)]  # fmt: skip
    # Kaggle's pattern of an answer, whose classes are none.
    tables = [name for name in tables if "submission" not in PurePosixPath(name).name]
    splits = {table: split_of(PurePosixPath(table).stem) for table in tables}
    top, folders = wrapping(pictures), {name.rpartition("/")[0] for name in pictures}
    # Folders that may be the classes.
    others = {folder for folder in folders if not split_of(folder.rpartition("/")[2])}
    said: dict[str, tuple[str | int | None, str]] = {}
    used, astray, found = set[str](), list[str](), Notes()
    for table in tables:
        # Each is of what lies beside it, as Hugging Face's imagefolder has one in each split, or of what it names below.
        folder = table.removesuffix(PurePosixPath(table).name)
        where = f"{tree.path}: {table}"
        rows = rows_of(tree, table)
        columns = [
            column for column in dict.fromkeys(key for row in rows for key in row) if isinstance(column, str)
        ]
        find = finder([name for name in pictures if name.startswith(folder)], folder)
        # Among folders, which may be the classes, a table without such a column is of something else.
        certain = folders == {""} or any(column.lower() in (*LABEL, *_SPLIT) for column in columns)
        files = column_of_files(columns, rows, find, where, certain)
        if files is None:
            if certain:
                first = ", ".join(map(str, rows[0].values())) if rows else "nothing"
                astray.append(f"{where} names no picture that is there (its first: {first})")
            continue
        named = [column for column in columns if column not in (files, "")]
        by_split = next((column for column in named if is_split(column, rows)), None)
        named = [column for column in named if column != by_split]
        # Among folders, which may be the classes, only what is called so is a class.
        alone = named[0] if len(named) == 1 and folders == {""} else None
        classes = next((column for column in named if column.lower() in LABEL), alone)
        if classes is None and by_split:
            raise UserError(
                f"{where} has a column '{by_split}', and no column label: add one, or put the pictures into folders train and test"
            )
        if classes is None:
            if named:
                what = f"names the pictures, and no column is called label: of no classes ({', '.join(named[:8])})"
                notes.noted(what, table)
            continue
        for row in rows:
            if not (names := find(row.get(files))):
                found.left_out("named in a table and not there", str(row.get(files)))
            label = label_of(row.get(classes), f"{where}: column '{classes}'")
            split = splits[table] if "train" in splits.values() else ""
            if by_split and not (split := split_of_folder(str(row.get(by_split)))):
                raise UserError(
                    f"{where}: column '{by_split}' has {row.get(by_split)!r}, and its words are train, val and test"
                )
            for name in names:
                new = label, split or split_in(name, top)
                if said.setdefault(name, new) != new:
                    raise UserError(
                        f"{where} names {name} again, with another class or split: leave one of the two lines out"
                    )
        found.noted(f"classes from column '{classes}'", table)
        used.add(table)
    if used and all(label is None for label, _ in said.values()):
        raise UserError(f"{tree.path}: {', '.join(sorted(used))} gives no picture that is there a class")
    if astray and not used and len(others) < 2:
        raise UserError(f"{astray[0]}: write the pictures' file names there, or take the table away")
    if not said or (len(others) > 1 and 2 * len(said) < len(pictures)):
        return None
    notes.join(found)
    return [Place(name, *said.get(name, (None, split_in(name, top)))) for name in pictures], used


def rows_of(tree: Tree, table: str) -> list[Row]:
    """A cell by its column. Raises UserError."""
    # Encrypted, cut short, of another encoding: without it, no picture would have a class.
    with refused(f"{tree.path}: {table} can't be read", Exception):
        content = tree.read(table)
        if table.endswith(PARQUET):
            from pyarrow import parquet  # pyright: ignore[reportMissingImports]

            return parquet.read_table(io.BytesIO(content)).to_pylist()
        lines = [line for line in text_of(content).splitlines() if line.strip()]
        if table.lower().endswith(".jsonl"):
            return [row for row in map(json.loads, lines) if isinstance(row, dict)]
        # Excel writes semicolons where commas stand in numbers, and tabs in UTF-16.
        delimiter = max(",;\t|", key=lines[0].count) if lines else ","
        table_rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
        table_rows.fieldnames = [name.strip() for name in table_rows.fieldnames or ()]
        return list(table_rows)


def is_split(column: str, rows: list[Row]) -> bool:
    words = column.lower() not in LABEL and all(split_of_folder(str(row.get(column))) for row in rows)
    return words or column.lower() in _SPLIT


def finder(pictures: list[str], folder: str) -> Find:
    """Which of these a table means by a name: with or without their suffix, with folders above or without some of them.

    folder: the table's, in which they lie. None, where it may be one of several.
    """
    called: dict[str, list[str]] = defaultdict(list)
    for name in pictures:
        file = name.rpartition("/")[2].casefold()
        for one in {file, file.rpartition(".")[0]}:
            called[one].append(name)

    def find(cell: object) -> list[str]:
        path = within(str(cell).strip().replace("\\", "/"))
        key = f"/{path.casefold()}"
        fits: list[tuple[str, str]] = []
        for name in called.get(key.rpartition("/")[2], ()):
            own = "/" + name.removeprefix(folder).casefold()
            stem = own if own.endswith(key.rpartition("/")[2]) else own.rpartition(".")[0]
            if key.endswith(stem) or stem.endswith(key):
                fits.append((stem, name))
        # The same letters, else the same place, if these are of one alone.
        for best in (
            [name for _, name in fits if name.removeprefix(folder) == path],
            [name for stem, name in fits if stem == key],
        ):
            if best:
                return best
        return [name for _, name in fits] if len({stem for stem, _ in fits}) == 1 else []

    return find


def column_of_files(columns: list[str], rows: list[Row], find: Find, where: str, certain: bool) -> str | None:
    """The column that names pictures; None where none does. Raises UserError where it has to be certain and is not."""
    some = rows[:1000]
    found = {column: [find(row.get(column)) for row in some]
             for column in columns if column.lower() not in (*LABEL, *_SPLIT)}  # fmt: skip
    count = {column: len({name for names in cells for name in names}) for column, cells in found.items()}
    most = max(count.values(), default=0)

    def rank(column: str) -> tuple[bool, int]:
        """Names with their suffix before others, columns called so before others, pandas' index last."""
        full = any(PurePosixPath(str(row.get(column)).strip()).suffix.lower() in SUFFIXES for row in some)
        return full, (column.lower() in _FILES) - (not column or column.startswith("Unnamed"))

    # A number may happen to be the name of some.
    close = [column for column, names in count.items() if names and 2 * names >= most]
    if not close:
        return None
    best = max(map(rank, close))
    first, *others = (column for column in close if rank(column) == best)
    unlike = [other for other in others if found[other] != found[first]]
    if unlike and certain:
        raise UserError(
            f"{where}: columns '{first}' and '{unlike[0]}' both name pictures: call the right one file_name"
        )
    if find(first) and certain and first.lower() not in _FILES:
        raise UserError(
            f"{where} has no line of columns' names above its first, '{first}': write file_name,label there"
        )
    return None if unlike else first


def label_of(cell: object, where: str) -> str | int | None:
    """Raises UserError for what is neither a whole number nor a name."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if cell is None or (isinstance(cell, int) and abs(cell) < 2**63):
        return cell
    raise UserError(f"{where} has {cell!r}; wanted is one whole number or name")
