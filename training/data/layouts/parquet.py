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
from training.files import refuse_pointer

_CLASS_COLUMNS = ("label", "labels", "class", "fine_label", "target", "category")
_CLASS_TYPES = {"string", "large_string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
_IMAGE_COLUMNS = ("image", "img", "picture", "images")
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
        for file in files_of(asked.path):
            refuse_pointer(file)
        files = {file: parquet.ParquetFile(file) for file in files_of(asked.path)}
        columns = columns_of(next(iter(files.values())).schema_arrow, asked)
        for file, opened in files.items():
            if lacking := {columns.image, columns.label} - {None, *opened.schema_arrow.names}:
                raise UserError(
                    f"{file} has no column {' and '.join(sorted(map(str, lacking)))}, as others have: give files of one kind"
                )
        rows, class_names, files, has_class = rows_of(files, columns, asked)

        def contents() -> Iterator[bytes]:
            kept = iter(has_class)
            for file in files:
                # Anew: who reads them again does so meanwhile.
                for batch in parquet.ParquetFile(file).iter_batches(_AT_ONCE, columns=[columns.image]):
                    for cell in batch.column(0).to_pylist():
                        if not next(kept):
                            continue
                        yield (cell.get("bytes") if isinstance(cell, dict) else cell) or b""

        return collect(Listing(rows, class_names, contents), asked)
    except (OSError, ArrowException) as error:
        raise UserError(
            f"{asked.path} cannot be read as Parquet: {error} Copy or download it again"
        ) from error


def columns_of(schema: Any, asked: Request) -> Columns:
    """Which columns hold what, by what Hugging Face writes into the schema, or else by their types and names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {name: feature["_type"] for name, feature in features.items() if "_type" in feature}
    except (KeyError, ValueError, TypeError, AttributeError):
        features, kinds = {}, {}
    types = {field.name: str(field.type) for field in schema}
    images = [name for name in types if kinds.get(name) == "Image" or "binary" in types[name]]
    if len(images) > 1 and len(named := [name for name in images if name.lower() in _IMAGE_COLUMNS]) == 1:
        for other in set(images) - set(named):
            asked.notes.left_out(f"columns of other pictures than '{named[0]}'", other)
        images = named
    if len(images) != 1:
        raise UserError(
            f"{asked.path} has {len(images)} columns of images{', ' * bool(images)}{', '.join(images)}: one is read, which holds the "
            f"pictures' files and not their names; call it `image`. Its columns are {', '.join(types)}"
        )
    named = [name for name in types if kinds.get(name) == "ClassLabel"]
    label = next((name for name in (*_CLASS_COLUMNS, *named) if name in (named or types)), None)
    others = [name for name, kind in types.items() if name not in images and kind in _CLASS_TYPES]
    if label is None and len(others) == 1:
        (label,) = others
        asked.notes.noted(f"classes from column '{label}'", asked.path.name)
    elif label is None and others:
        what = f"no column is called label: of no classes ({', '.join(others[:8])})"
        asked.notes.noted(what, asked.path.name)
    names = features[label].get("names") if label in named else None
    return Columns(images[0], label, tuple(map(str, names)) if isinstance(names, list) and names else None)


def rows_of(
    files: dict[Path, Any], columns: Columns, asked: Request
) -> tuple[list[Row], tuple[str, ...], list[Path], list[bool]]:
    """What is read, and of which files: those of a validation split are left out where there is a test split; and which rows of these
    files have a class, where any has one.
    """
    splits = {file: split_of(f"{file}".removeprefix(f"{asked.path}")) for file in files}
    test, unused = chosen(splits.values())
    used = [file for file in files if not unused or splits[file] != unused]
    for file in files.keys() - set(used):
        asked.notes.left_out(f"of {unused}, since test is held out", file.name, files[file].metadata.num_rows)
    counts = [files[file].metadata.num_rows for file in used]
    labels, class_names = np.zeros(sum(counts), np.int64), UNLABELLED
    places = [(file, row) for file, count in zip(used, counts, strict=True) for row in range(count)]
    has_class = [True] * len(places)
    if columns.label:
        cells = [cell for file in used for cell in files[file].read([columns.label]).column(0).to_pylist()]
        where = f"{asked.path}: column {columns.label}"
        has_class = [cell is not None for cell in cells]
        for (file, row), has in zip(places, has_class, strict=True):
            if not has:
                asked.notes.left_out("of no class", f"{file.name} row {row}")
        cells = [cell for cell in cells if cell is not None]
        found = label_column(cells, len(cells), where)
        class_names, labels = numbered(found, asked.path)
        if columns.class_names and not isinstance(found, list):
            class_names = columns.class_names
    kept = [place for place, has in zip(places, has_class, strict=True) if has]
    rows = [
        Row(f"{file.name} row {row}", int(label), bool(test) and splits[file] == test)
        for (file, row), label in zip(kept, labels, strict=True)
    ]
    return rows, class_names, used, has_class
