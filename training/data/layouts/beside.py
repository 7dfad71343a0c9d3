"""Classes that stand in files beside the pictures: StyleGAN's dataset.json, WebDataset's .cls and .json, a table."""

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from service.generator.classes import text_of
from training.data.labels import NUMBER, label_column, split_of
from training.data.layouts.tables import LABEL, by_tables
from training.data.layouts.trees import TAR, Tree, split_in, within, wrapping
from training.data.notes import Notes
from training.data.request import Place
from training.errors import UserError, refused


def by_files_beside(tree: Tree, pictures: list[str], notes: Notes) -> tuple[list[Place], set[str]] | None:
    """Where each picture belongs, and the files that say so; None where only folders can say it. Raises UserError."""
    others = set(tree.names) - set(pictures)
    if documents := sorted(name for name in others if PurePosixPath(name).name == "dataset.json"):
        return by_dataset_json(tree, pictures, documents, notes), set(documents)
    packed = tree.shards or tree.path.name.lower().endswith(TAR)
    samples = (
        by_samples(tree, pictures, notes) if packed or any(name.endswith(".cls") for name in others) else None
    )
    return samples or by_tables(tree, pictures, notes)


def by_dataset_json(tree: Tree, pictures: list[str], documents: list[str], notes: Notes) -> list[Place]:
    """{"labels": [["00000/img00000000.png", 6], ...]}, or null where there are no classes; each of its own folder."""
    there, top, label_of = set(pictures), wrapping(pictures), dict[str, str | int]()
    for document in documents:
        where, folder = f"{tree.path}: {document}", document.removesuffix("dataset.json")
        format = 'StyleGAN\'s {"labels": [[file, label], ...]}'
        with refused(f"{where} is not {format}", OSError, ValueError, TypeError, KeyError, RecursionError):
            rows = json.loads(text_in(tree, document))["labels"]
            if rows is None:
                continue
            # As some write it: {"labels": {file: label, ...}}.
            pairs = rows.items() if isinstance(rows, dict) else rows
            said = [(folder + within(str(file).replace("\\", "/")), label) for file, label in pairs]
            files = [file for file, label in said if label is not None]
            if len({isinstance(label, str) for _, label in said if label is not None}) > 1:
                raise ValueError("some labels are numbers, and some names")
            labels = label_column(
                np.array([label for _, label in said if label is not None]), len(files), where
            )
        for file, label in zip(files, labels, strict=True):
            if label_of.setdefault(file, label) != label:
                raise UserError(f"{where} names {file} twice, with two classes: leave one of them out")
        if not there.intersection(name for name, _ in said):
            raise UserError(f"{where} names no picture that is there (its first: {[*pairs][:1]})")
        for name, _ in said:
            if name not in there:
                notes.left_out("named in dataset.json and not there", name)
    return [Place(name, label_of.get(name), split_in(name, top)) for name in pictures]


def by_samples(tree: Tree, pictures: list[str], notes: Notes) -> tuple[list[Place], set[str]] | None:
    """WebDataset: what has one name up to the first dot is one sample, `0017.jpg` and `0017.cls`."""
    labels: dict[str, str] = {}
    used = {name for name in tree.names if ending(name) in ("cls", "json", "txt", "__key__")}
    for name in filter(used.__contains__, tree.names):
        if ending(name) == "cls":
            labels[key(name)] = text_in(tree, name).strip()
        elif ending(name) == "json" and (label := label_in(tree.read(name))) is not None:
            labels[key(name)] = str(label)
    if not labels:
        return None
    of_key: dict[str, list[str]] = defaultdict(list)
    for name in pictures:
        of_key[key(name)].append(name)
    for alone in sorted(labels.keys() - of_key.keys()):
        notes.left_out("a class without its picture", alone.lstrip("/"))
    numbers = all(NUMBER.fullmatch(label) for label in labels.values())
    found = {name: int(label) if numbers else label for name, label in labels.items()}
    top, places = wrapping(pictures), []
    for sample, names in of_key.items():
        # Of `17.jpg` and `17.mask.png` the first.
        plain = [name for name in names if "." not in ending(name)] if len(names) > 1 else names
        if len(plain) != 1:
            raise UserError(
                f"{tree.path}: {', '.join(names)} are pictures of one sample: leave one, or call it SAMPLE.png"
            )
        for name in set(names) - set(plain):
            notes.left_out("another picture of its sample", name)
        split = split_of(tree.shard_of(plain[0])) or split_in(plain[0], top)
        places.append(Place(plain[0], found.get(sample), split))
    return places, used


def label_in(document: bytes) -> str | int | None:
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        return None
    values = [found[name] for name in LABEL if name in found] if isinstance(found, dict) else []
    if values and isinstance(values[0], float) and values[0].is_integer():
        return int(values[0])
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
