"""Parquet as Hugging Face writes it: the pictures' files in a column, classes beside, their names in the schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.data.dataset import UNLABELLED, Dataset
from training.data.encoded import collect
from training.data.labels import chosen, label_column, numbered, split_of
from training.data.request import Listing, Request, Row
from training.errors import UserError

_CLASS_COLUMNS = ("label", "labels", "class", "fine_label", "target", "category")
_AT_ONCE = 64


class Columns(NamedTuple):
    """image: of structs with `bytes`, or of bytes. label: None without classes; its names, where the schema has them."""

    image: str
    label: str | None
    class_names: tuple[str, ...] | None


def holds(path: Path) -> bool:
    return bool(files_of(path))


def files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.parquet"))
    return [path] if path.suffix.lower() == ".parquet" else []


def read(asked: Request) -> Dataset:
    """Raises UserError."""
    try:
        from pyarrow import ArrowException, parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"{asked.path} is Parquet, to read which: pip install 'ganserve[parquet]'") from error
    try:
        files = {file: parquet.ParquetFile(file) for file in files_of(asked.path)}
        columns = columns_of(next(iter(files.values())).schema_arrow, asked.path)
        rows, class_names, files = rows_of(files, columns, asked)

        def contents() -> Iterator[bytes]:
            for file in files:
                # Anew: who reads them again does so meanwhile.
                for batch in parquet.ParquetFile(file).iter_batches(_AT_ONCE, columns=[columns.image]):
                    for cell in batch.column(0).to_pylist():
                        yield (cell.get("bytes") if isinstance(cell, dict) else cell) or b""

        return collect(Listing(rows, class_names, contents), asked)
    except (OSError, ArrowException) as error:
        raise UserError(f"{asked.path} cannot be read as Parquet: {error}") from error


def columns_of(schema: Any, path: Path) -> Columns:
    """Which columns hold what, by what Hugging Face writes into the schema, or else by their types and names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {name: feature["_type"] for name, feature in features.items() if "_type" in feature}
    except (KeyError, ValueError, TypeError, AttributeError):
        features, kinds = {}, {}
    types = {field.name: str(field.type) for field in schema}
    images = [name for name in types if kinds.get(name) == "Image" or "binary" in types[name]]
    if len(images) != 1:
        raise UserError(
            f"{path} has {len(images)} columns of images{', ' * bool(images)}{', '.join(images)}: one is read. "
            f"Its columns are {', '.join(types)}"
        )
    named = [name for name in types if kinds.get(name) == "ClassLabel"]
    label = next((name for name in (*_CLASS_COLUMNS, *named) if name in (named or types)), None)
    names = features[label].get("names") if label in named else None
    return Columns(images[0], label, tuple(map(str, names)) if isinstance(names, list) and names else None)


def rows_of(
    files: dict[Path, Any], columns: Columns, asked: Request
) -> tuple[list[Row], tuple[str, ...], list[Path]]:
    """What is read, and of which files: those of a validation split are left out where there is a test split."""
    splits = {file: split_of(f"{file}".removeprefix(f"{asked.path}")) for file in files}
    test, unused = chosen(splits.values())
    used = [file for file in files if not unused or splits[file] != unused]
    for file in files.keys() - set(used):
        asked.notes.left_out(f"of {unused}, since test is held out", file.name, files[file].metadata.num_rows)
    counts = [files[file].metadata.num_rows for file in used]
    labels, class_names = np.zeros(sum(counts), np.int64), UNLABELLED
    if columns.label:
        cells = [cell for file in used for cell in files[file].read([columns.label]).column(0).to_pylist()]
        where = f"{asked.path}: column {columns.label}"
        found = label_column(cells, len(cells), where)
        class_names, labels = numbered(found, asked.path)
        if columns.class_names and not isinstance(found, list):
            class_names = columns.class_names
    places = [(file, row) for file, count in zip(used, counts, strict=True) for row in range(count)]
    rows = [
        Row(f"{file.name} row {row}", int(label), bool(test) and splits[file] == test)
        for (file, row), label in zip(places, labels, strict=True)
    ]
    return rows, class_names, used
