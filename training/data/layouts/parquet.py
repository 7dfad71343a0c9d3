"""Parquet as Hugging Face writes it: the pictures' files in a column, classes beside, their names in the schema."""

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from training.data.dataset import Dataset
from training.data.encoded import collect, of_use
from training.data.labels import chosen, label_column, split_of
from training.data.layouts.tables import PARQUET
from training.data.request import Place, Request
from training.errors import UserError
from training.files import refuse_pointer

_CLASS_COLUMNS = ("label", "labels", "class", "fine_label", "target", "category")
_CLASS_TYPES = {"string", "large_string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
_IMAGE_COLUMNS = ("image", "img", "picture", "images")
_IMAGE_TYPE = re.compile(
    r"(large_)?binary(_view)?|fixed_size_binary\[\d+\]|struct<([^<]*, )?bytes: ((large_)?binary|null).*"
)
_AT_ONCE = 64


class Columns(NamedTuple):
    """image: of structs with `bytes`, or of bytes. label: None without classes."""

    image: str
    label: str | None


def holds(path: Path) -> bool:
    return bool(files_of(path))


def files_of(path: Path) -> list[Path]:
    if path.is_dir():
        # One that is called so is a table beside pictures.
        return sorted(file for file in path.rglob("*.parquet") if file.name != PARQUET)
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
        names = names_of(files, columns.label, asked)
        places, files = places_of(files, columns, asked)
        kept = of_use(places, columns.label is not None, asked.notes)

        def contents() -> Iterator[bytes]:
            rows = iter(places)
            for file in files:
                # Anew: who reads them again does so meanwhile.
                for batch in parquet.ParquetFile(file).iter_batches(_AT_ONCE, columns=[columns.image]):
                    for cell in batch.column(0).to_pylist():
                        place = next(rows)
                        if columns.label is not None and place.label is None:
                            continue
                        content = cell.get("bytes") if isinstance(cell, dict) else cell
                        if not content and cell and cell.get("path"):
                            raise UserError(
                                f"{asked.path}: {place.name} has the picture's path ('{cell['path']}') and not its bytes: "
                                "write the table with the pictures in it"
                            )
                        yield content or b""

        of_labels = names if kept and not isinstance(kept[0].label, str) else None
        return collect(kept, contents, asked, asked.path, of_labels)
    except (OSError, ArrowException) as error:
        raise UserError(
            f"{asked.path} cannot be read as Parquet: {error} Copy or download it again"
        ) from error


def columns_of(schema: Any, asked: Request) -> Columns:
    """Which columns hold what, by what Hugging Face writes into the schema, or else by their types and names."""
    kinds = {name: feature["_type"] for name, feature in features_of(schema).items()}
    types = {field.name: str(field.type) for field in schema}
    images = [name for name in types if kinds.get(name) == "Image" or _IMAGE_TYPE.fullmatch(types[name])]
    if len(images) > 1 and len(named := [name for name in images if name.lower() in _IMAGE_COLUMNS]) == 1:
        for other in set(images) - set(named):
            asked.notes.left_out(f"columns of other pictures than '{named[0]}'", other)
        images = named
    if len(images) != 1:
        raise UserError(
            f"{asked.path} has {len(images)} columns of images{', ' * bool(images)}{', '.join(images)}: one is read, which holds the "
            f"pictures' files and not their names; call it `image`. Its columns are "
            + ", ".join(f"{name} ({kind})" for name, kind in types.items())
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
    return Columns(images[0], label)


def features_of(schema: Any) -> dict[str, dict[str, Any]]:
    """What Hugging Face writes into the schema of columns."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if "_type" in feature}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def names_of(files: dict[Path, Any], label: str | None, asked: Request) -> tuple[str, ...] | None:
    """The classes by their numbers, where a schema has them. Raises UserError where files differ in them."""
    schemas = [opened.schema_arrow for opened in files.values()] if label else []
    names = [features_of(schema).get(label or "", {}).get("names") for schema in schemas]
    said = {tuple(map(str, one)) for one in names if isinstance(one, list) and one}
    if len(said) > 1 or len({"string" in str(schema.field(label).type) for schema in schemas}) > 1:
        raise UserError(
            f"{asked.path}: column {label} of its files has other classes, or in another order: write them anew as one"
        )
    return next(iter(said), None)


def places_of(files: dict[Path, Any], columns: Columns, asked: Request) -> tuple[list[Place], list[Path]]:
    """All rows of the files that are read, and these: those of a validation split are left out where there is a test split."""
    splits = {file: split_of(f"{file}".removeprefix(f"{asked.path}")) for file in files}
    _, unused = chosen(splits.values())
    # Beside those called train, others may be held out by a name that is not known.
    train_only = "train" in splits.values()
    used = [
        file
        for file in files
        if (splits[file] and splits[file] != unused) or not (splits[file] or train_only)
    ]
    for file in files:
        if file not in used:
            why = (
                f"of {unused}, since test is held out"
                if splits[file]
                else "beside those called train, and not called so"
            )
            asked.notes.left_out(why, file.name, files[file].metadata.num_rows)
    cells, labels = [], iter(())
    if columns.label:
        cells = [cell for file in used for cell in files[file].read([columns.label]).column(0).to_pylist()]
        known = [cell for cell in cells if cell is not None]
        labels = iter(label_column(known, len(known), f"{asked.path}: column {columns.label}"))
    rows = ((file, row) for file in used for row in range(files[file].metadata.num_rows))
    places = [
        Place(f"{file.name} row {row}", None if cell is None else next(labels), splits[file])
        for (file, row), cell in zip_longest(rows, cells)
    ]
    return places, used
