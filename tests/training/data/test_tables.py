"""Tables of classes as Hugging Face's imagefolder has them: in each split, or above the pictures that they name."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.files import LABELS, NAMES, in_folder, png, tree
from tests.training.tiny import command
from training.data.formats import load


def rows(first: int, last: int, suffix: str = "csv", under: str = "") -> bytes:
    """A table of these pictures."""
    said = [(f"{under}{i:03}.png", NAMES[LABELS[i]]) for i in range(first, last)]
    if suffix == "csv":
        return "\n".join(["file_name,width,label", *(f"{file},32,{name}" for file, name in said)]).encode()
    return "\n".join(
        json.dumps({"file_name": file, "text": "a picture", "label": NAMES.index(name)})
        for file, name in said
    ).encode()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("layout", ["a heap", "in each split", "above"])
def test_a_table_says_the_classes_of_what_it_names(tmp_path: Path, suffix: str, layout: str) -> None:
    count, table = len(LABELS), f"metadata.{suffix}"
    under = {"a heap": ("", ""), "in each split": ("train/", "test/"), "above": ("all/", "all/")}[layout]
    files = {f"{under[i >= 18]}{i:03}.png": png(i) for i in range(count)}
    if layout == "in each split":
        files |= {f"train/{table}": rows(0, 18, suffix), f"test/{table}": rows(18, count, suffix)}
    else:
        files[table] = rows(0, count, suffix, under[0])
    found = load(in_folder(tmp_path / "set", files))
    assert found.class_names == (NAMES if suffix == "csv" else ("0", "1", "2"))
    if layout == "in each split":
        assert (len(found.labels), len(found.test_labels)) == (18, count - 18)
        np.testing.assert_array_equal(found.test_labels, LABELS[18:])
    both = np.concatenate([found.labels, found.test_labels])
    np.testing.assert_array_equal(np.bincount(both), np.bincount(LABELS))


def test_among_class_folders_a_table_of_something_else_is_no_table_of_classes(tmp_path: Path) -> None:
    sizes = "\n".join(["file,width", *(f"{i:03}.png,32" for i in range(len(LABELS)))]).encode()
    files = tree() | {f"{name}/sizes.csv": sizes for name in NAMES}
    assert load(in_folder(tmp_path / "set", files)).class_names == NAMES


def test_a_table_that_is_cut_short_is_refused_and_not_left_out(tmp_path: Path) -> None:
    files = {f"{i:03}.png": png(i) for i in range(len(LABELS))}
    files["metadata.jsonl"] = rows(0, 24, "jsonl")[:-9]
    source = in_folder(tmp_path / "set", files)
    result = command("prepare", "--data", source, "--out", tmp_path / "out.npz")
    assert result.exit_code == 1
    assert "metadata.jsonl can't be read" in result.output
    assert not (tmp_path / "out.npz").exists()
