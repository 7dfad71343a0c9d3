"""Classes that stand in files beside the pictures: StyleGAN's dataset.json, WebDataset's .cls and .json, a table."""

import csv
import json
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from service.generator.classes import text_of
from training.data.labels import NUMBER, label_column, split_of
from training.data.layouts.trees import TAR, Tree
from training.data.notes import Notes
from training.data.request import Place
from training.errors import refused

_LABEL = ("label", "cls", "class", "class_name", "category", "target", "labels", "breed", "species")


def by_files_beside(tree: Tree, pictures: list[str], notes: Notes) -> tuple[list[Place], set[str]] | None:
    """Where each picture belongs, and the files that say so; None where only folders can say it. Raises UserError."""
    others = sorted(set(tree.names) - set(pictures), key=lambda name: (name.count("/"), name))
    if documents := [name for name in others if PurePosixPath(name).name == "dataset.json"]:
        return by_dataset_json(tree, pictures, documents[0], notes), {documents[0]}
    packed = tree.shards or tree.path.name.lower().endswith(TAR)
    if packed or any(name.endswith((".cls", *TAR)) for name in others):
        return by_samples(tree, pictures, notes)
    tables = [name for name in others if name.lower().endswith((".csv", ".tsv", ".jsonl"))]
    places: dict[str, Place] = {}
    used = set[str]()
    for name in tables:
        # Each is of what lies beside it, as Hugging Face's imagefolder has one in each split, or of what it names below.
        folder = name.rpartition("/")[0] + "/" if "/" in name else ""
        own = [one for one in pictures if one.startswith(folder) and one not in places]
        if own and (found := by_table(tree, own, name, folder, notes)):
            places |= {one.name: one for one in found}
            used.add(name)
    return ([places[name] for name in pictures], used) if places and len(places) == len(pictures) else None


def by_dataset_json(tree: Tree, pictures: list[str], document: str, notes: Notes) -> list[Place]:
    """{"labels": [["00000/img00000000.png", 6], ...]}, or null where there are no classes."""
    where = f"{tree.path}: {document}"
    format = 'StyleGAN\'s {"labels": [[file, label], ...]}'
    with refused(f"{where} is not {format}", OSError, ValueError, TypeError, KeyError, RecursionError):
        rows = json.loads(text_in(tree, document))["labels"]
        if rows is None:
            return [Place(name, None, "") for name in pictures]
        folder = document.removesuffix("dataset.json")
        # As some write it: {"labels": {file: label, ...}}.
        pairs = rows.items() if isinstance(rows, dict) else rows
        said = [(folder + str(file).replace("\\", "/"), label) for file, label in pairs]
        files = [file for file, label in said if label is not None]
        labels = label_column(np.array([label for _, label in said if label is not None]), len(files), where)
    label_of = dict(zip(files, labels, strict=True))
    there = set(pictures)
    for name, _ in said:
        if name not in there:
            notes.left_out("named in dataset.json and not there", name)
    return [Place(name, label_of.get(name), "") for name in pictures]


def by_samples(tree: Tree, pictures: list[str], notes: Notes) -> tuple[list[Place], set[str]] | None:
    """WebDataset: what has one name up to the first dot is one sample, `0017.jpg` and `0017.cls`."""
    labels: dict[str, str] = {}
    used = {name for name in tree.names if ending(name) in ("cls", "json", "txt", "__key__")}
    for name in filter(used.__contains__, tree.names):
        if ending(name) == "cls":
            labels[key(name)] = text_in(tree, name).strip()
        elif ending(name) == "json" and (label := label_in(tree.read(name))) is not None:
            labels[key(name)] = str(label)
    if not labels and not tree.shards:
        return None
    for alone in sorted(labels.keys() - {key(name) for name in pictures}):
        notes.left_out("a class without its picture", alone.lstrip("/"))
    numbers = all(NUMBER.fullmatch(label) for label in labels.values())
    found = {name: int(label) if numbers else label for name, label in labels.items()}
    splits = {name: split_of(name.split("/")[0]) if tree.shards else "" for name in pictures}
    return [Place(name, found.get(key(name)), splits[name]) for name in pictures], used


def label_in(document: bytes) -> str | int | None:
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        return None
    values = [found[name] for name in _LABEL if name in found] if isinstance(found, dict) else []
    return values[0] if values and isinstance(values[0], str | int) else None


def key(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def text_in(tree: Tree, name: str) -> str:
    """Raises UserError: without it, no picture would have a class."""
    # Encrypted, cut short, of another encoding.
    with refused(f"{tree.path}: {name} can't be read", Exception):
        return text_of(tree.read(name))


def by_table(tree: Tree, pictures: list[str], table: str, folder: str, notes: Notes) -> list[Place] | None:
    """A column of file names, with or without their suffix, and a column of classes: .csv, or a JSON object a line.

    folder: the table's, in which all these pictures lie. Raises UserError.
    """
    lines = text_in(tree, table).splitlines()
    with refused(f"{tree.path}: {table} can't be read", csv.Error, ValueError, RecursionError):
        if table.lower().endswith(".jsonl"):
            rows = [row for row in map(json.loads, filter(str.strip, lines)) if isinstance(row, dict)]
        else:
            # Excel writes semicolons where commas stand in numbers, and tabs in UTF-16.
            delimiter = max(",;\t", key=lines[0].count) if lines else ","
            rows = list(csv.DictReader(lines, delimiter=delimiter))
    columns = [column for column in (rows[0] if rows else []) if isinstance(column, str)]
    own = {name: name.removeprefix(folder) for name in pictures}
    inner = {name.rpartition("/")[0] for name in own.values()}
    if (
        len(inner) == 1
        and "" not in inner
        and not any("/" in str(value) for row in rows for value in row.values())
    ):
        # All in one folder, as `images/`, of which the table does not speak.
        folder += f"{inner.pop()}/"
        own = {name: name.removeprefix(folder) for name in pictures}
    known = {one for name in own.values() for one in (name, name.rpartition(".")[0])}
    files = next((c for c in columns if any(str(row.get(c)) in known for row in rows)), None)
    others = [c for c in columns if c != files]
    is_flat = not any("/" in name for name in pictures)
    # Among folders, which may be the classes, only what is called so is a class.
    alone = others[0] if len(others) == 1 and is_flat else None
    classes = next((c for c in others if c.lower() in _LABEL), alone)
    if files is None or classes is None:
        if files is not None and others and is_flat:
            what = (
                f"names the pictures, and no column is called label: of no classes ({', '.join(others[:8])})"
            )
            notes.noted(what, table)
        return None
    there = {one.removeprefix(folder) for one in tree.names}
    there |= {one.rpartition(".")[0] for one in there}
    for row in rows:
        if (named := str(row.get(files))) not in there:
            notes.left_out("named in a table and not there", named)
    label_of = {str(row.get(files)): row.get(classes) for row in rows}
    found = {name: label_of.get(one, label_of.get(one.rpartition(".")[0])) for name, one in own.items()}
    notes.noted(f"classes from column '{classes}'", table)
    return [
        Place(
            name,
            label if isinstance(label, int) else str(label or "") or None,
            split_of(name.split("/")[0]) if "/" in name else "",
        )
        for name, label in found.items()
        if label is not None or "/" not in own[name]
    ]
