"""Folders that are nearly as they should be: nothing is left out or renamed without a word."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import needs
from tests.training.data import files
from tests.training.tiny import command
from training.data.formats import load
from training.errors import UserError


def test_a_class_that_hides_itself_is_named(tmp_path: Path) -> None:
    parts = {f"{name}/{i}.png": files.png(i) for name in ("C", "Java", ".NET") for i in range(8)}
    parts |= {".git/objects/pack": b"no picture"}
    dataset = load(files.in_folder(tmp_path / "set", parts))
    assert dataset.class_names == ("C", "Java")
    (note,) = (note for note in dataset.notes if "hides itself" in note)
    assert note.endswith(": 1 (.NET)")


def test_a_link_to_nothing_is_not_called_empty_alone(tmp_path: Path) -> None:
    folder = files.in_folder(
        tmp_path / "set", {f"{name}/{i}.png": files.png(i) for name in "ab" for i in range(8)}
    )
    (folder / "a" / "gone.png").symlink_to("nowhere.png")
    assert (
        "left out, can't be read as pictures: 1 (a/gone.png: empty, or not to be opened)"
        in load(folder).notes
    )


def test_names_that_cannot_be_seen_or_said_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for name, why in (
        ("cat\u200bfish", "'cat\\u200bfish', has a character that can't be seen"),
        ("cat\u3164", "'cat\\u3164', has a character that can't be seen"),
        ("\u202etac", "'\\u202etac', has a character that can't be seen"),
        ("\u0301", "has neither a letter nor a digit"),
    ):
        parts = {f"{one}/{i}.png": files.png(i) for one in ("dog", name) for i in range(4)}
        folder, out = tmp_path / f"{len(why)}", tmp_path / "out"
        out.mkdir(exist_ok=True)
        result = command("prepare", "--data", files.in_folder(folder, parts), "--out", out / "set.npz")
        assert result.exit_code == 1
        assert why in result.output
        assert not list(out.iterdir())


ODD = ("/abs/a/0.png", "../a/1.png", "./a/2.png", "a//3.png", "b/../a/4.png", "b\\0.png", "b/1.png")


def test_odd_names_in_archives_are_read_as_they_would_be_unpacked(tmp_path: Path) -> None:
    parts = {name: files.png(i) for i, name in enumerate(ODD)}
    packed = files.in_zip(
        tmp_path / "set.zip", {name.removeprefix("/abs/"): one for name, one in parts.items()}
    )
    dataset = load(packed)
    assert dataset.class_names == ("a", "b")
    assert len(dataset.images) + len(dataset.test_images) == 7
    in_tar = {name.removeprefix("/abs").replace("\\", "/"): one for name, one in parts.items()}
    assert load(files.in_tar(tmp_path / "set.tar", in_tar)).class_names == ("a", "b")


@pytest.mark.parametrize("label", ["--1", "9" * 30, "²", "1-"])
def test_what_is_no_number_is_a_name_of_a_class(tmp_path: Path, label: str) -> None:
    parts = {f"{i:02}.png": files.png(i) for i in range(8)}
    parts |= {f"{i:02}.cls": (label if i % 2 else "7").encode() for i in range(8)}
    assert set(load(files.in_tar(tmp_path / "set.tar", parts)).class_names) == {"7", label}


PICTURES = [{"bytes": files.png(i), "path": None} for i in range(8)]


def table(path: Path, labels: list[Any], names: Any = None) -> Path:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        needs(None, "pyarrow")
    rows = pyarrow.table({"image": PICTURES, "label": labels})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        said = json.dumps({"info": {"features": features}})
        rows = rows.replace_schema_metadata({"huggingface": said})
    parquet.write_table(rows, path)
    return path


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        ([[0], [0, 1]] * 4, None, "labels of several lengths"),
        ([-1, 1] * 4, ["cat", "dog"], "labels from -1 to 1"),
        ([0, 5] * 4, ["cat", "dog"], "labels from 0 to 5, but 2 classes"),
        ([None, 1] * 4, ["cat", "dog"], "no training image of class cat: .*left out, of no class: 4"),
    ],
)
def test_labels_of_parquet_that_are_none_are_refused(
    tmp_path: Path, labels: list[Any], names: Any, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        load(table(tmp_path / "set.parquet", labels, names))


def test_names_of_parquet_are_taken_where_they_are_names(tmp_path: Path) -> None:
    assert load(table(tmp_path / "1.parquet", [0, 1] * 4, 5)).class_names == ("0", "1")
    named = load(table(tmp_path / "2.parquet", ["dog", "cat"] * 4, ["dog", "cat"]))
    assert named.class_names == ("cat", "dog")
    assert {*named.labels.tolist()} == {0, 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"images": np.array(3), "labels": np.array(0)}, "images have shape"),
        (b"hello", "is no .npz"),
        (b"", "is no .npz"),
    ],
)
def test_what_is_no_packed_data_set_is_refused_in_its_own_words(
    tmp_path: Path, content: Any, says: str
) -> None:
    path = tmp_path / "set.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(UserError, match=says) as refusal:
        load(path)
    assert "pickle" not in str(refusal.value)


def test_an_array_beyond_memory_is_not_blamed_on_training(tmp_path: Path) -> None:
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000, 28, 28, 3), }".ljust(117) + b"\n"
    files.in_zip(tmp_path / "set.npz", {"images.npy": b"\x93NUMPY\x01\x00v\x00" + head + bytes(10)})
    with pytest.raises(UserError, match="does not fit into memory"):
        load(tmp_path / "set.npz")
