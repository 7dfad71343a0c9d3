"""Tables of classes as Hugging Face's imagefolder has them: in each split, or above the pictures that they name."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.files import IMAGES, LABELS, NAMES, in_folder, png, tree
from tests.training.tiny import command
from training.data.dataset import Dataset
from training.data.formats import load
from training.errors import UserError


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
    losses = "\n".join(["epoch,loss", *(f"{i},{i + 1}" for i in range(9))]).encode()
    cats = {f"cat/{i}.png": png(i) for i in range(9)}
    assert load(in_folder(tmp_path / "cats", cats | {"losses.csv": losses})).class_names == ("cat",)
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


COUNT = 12
ORDER = [(5 * i + 3) % COUNT for i in range(COUNT)]


def heap(path: Path, table: str, name: str = "labels.csv", form: str = "{}.png") -> Path:
    return in_folder(path, {form.format(i): png(i) for i in range(COUNT)} | {name: table.encode()})


def lines(header: str, row: str, count: int = COUNT) -> str:
    """Of pictures in another order than that of their numbers: row {k} is of picture {i}."""
    rows = (row.format(k=k, i=i, label=NAMES[LABELS[i]], number=LABELS[i]) for k, i in enumerate(ORDER))
    return "\n".join([header, *list(rows)[:count]])


def assert_right(dataset: Dataset, names: tuple[str, ...] = NAMES, count: int = COUNT) -> None:
    pixels = {np.asarray(png_pixels(i)).tobytes(): LABELS[i] for i in range(COUNT)}
    images = np.concatenate([dataset.images, dataset.test_images])
    assert dataset.class_names == names
    assert len(images) == count
    for image, label in zip(images, [*dataset.labels, *dataset.test_labels], strict=True):
        assert pixels[image.tobytes()] == label


def png_pixels(i: int) -> np.ndarray:
    return np.ascontiguousarray(IMAGES[i].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (",filename,label", "{k},{i}.png,{label}"),
        ("id,pic,label", "{k},{i}.png,{label}"),
        ("id,image,breed", "{k},{i},{label}"),
        ("label,file", "{label},{i}.png"),
        (",number,label", "{k},{i},{label}"),
        ("file,label", "./{i}.png,{label}"),
        ("file,label", "/content/set/{i}.png,{label}"),
        ("file,label", "img\\{i}.png,{label}"),
        ("file,label", "{i}.PNG,{label}"),
        ("file, label", " {i}.png , {label} "),
        ("file|label", "{i}.png|{label}"),
        ("file , label ", "{i}.png,{label}"),
        ("id,image_id,label", "{k},{i},{label}"),
    ],
)
def test_the_column_of_names_is_found_and_its_names_are_read_as_they_are_meant(
    tmp_path: Path, header: str, row: str
) -> None:
    assert_right(load(heap(tmp_path / "set", lines(header, row))))


def test_numbers_as_labels_are_no_names_of_pictures_and_rows_may_be_numbered(tmp_path: Path) -> None:
    assert_right(load(heap(tmp_path / "a", lines("label,file", "{number},{i}.png"))), ("0", "1", "2"))
    rows = [{"id": k, "file_name": f"{i}.png", "label": float(LABELS[i])} for k, i in enumerate(ORDER)]
    table = "\n".join(map(json.dumps, rows))
    assert_right(load(heap(tmp_path / "b", table, "metadata.jsonl")), ("0", "1", "2"))


def test_a_table_above_folders_that_are_no_classes_names_what_lies_in_them(tmp_path: Path) -> None:
    for form in ("part_{}/x{}.png", "train/{}x{}.png"):
        files = {form.format(i % 2, i): png(i) for i in range(COUNT)}
        names = [name.rpartition("/")[2] for name in files]
        table = "\n".join(["image,label", *(f"{name},{NAMES[LABELS[i]]}" for i, name in enumerate(names))])
        assert_right(load(in_folder(tmp_path / form[:4], files | {"train.csv": table.encode()})))


def test_a_column_of_splits_and_tables_called_by_them_are_the_split(tmp_path: Path) -> None:
    parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"{i}.png,{NAMES[LABELS[i]]},{part}" for i, part in enumerate(parts)]
    for column in ("Split", "set", "data_split"):
        found = load(heap(tmp_path / column, "\n".join([f"file,label,{column}", *rows])))
        assert (len(found.images), len(found.test_images), found.split) == (8, 2, Dataset.split)
        np.testing.assert_array_equal(found.test_labels, LABELS[10:12])
    source = heap(tmp_path / "b", "\n".join(["file,label", *rows[:9]]), "train.csv")
    in_folder(source, {"test.csv": "\n".join(["file,label", *rows[9:]]).encode()})
    assert (len(load(source).images), len(load(source).test_images)) == (9, 3)


ROW = "{i}.png,{label}"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (lines("a,b,label", "{k},{i},{label}"), "columns 'a' and 'b' both name pictures"),
        (lines("file,label", "x{i}.png,{label}"), r"names no picture that is there \(its first: x3.png, "),
        (lines("file,label", "00{i},{label}"), r"names no picture that is there \(its first: 003, "),
        ("\n".join(lines("", ROW).splitlines()[1:]), "has no line of columns' names"),
        (lines("file,label", ROW) + "\n3.png,bear", "names 3.png again, with another class"),
        (lines("file,label,split", ROW + ",fold1"), "column 'split' has 'fold1'"),
        (lines("file,label,is_train", ROW + ",1"), "column 'is_train' has '1', and its words are"),
        (lines("file,split", "{i}.png,train"), "has a column 'split', and no column label"),
        ("file,label", r"names no picture that is there \(its first: nothing"),
        (lines("file,label", "{i}.png,"), "gives no picture that is there a class"),
    ],
)
def test_a_table_that_may_mean_another_thing_is_refused(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(heap(tmp_path / "set", table))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([[0]] * COUNT, r"column 'label' has \[0\]; wanted is one whole number or name"),
        ([{"name": "cat"}] * COUNT, "wanted is one whole number or name"),
        ([0.5] * COUNT, "column 'label' has 0.5"),
        ([10**30] * COUNT, "wanted is one whole number or name"),
        ([0, "cat"] * 6, "some labels are numbers, and some names"),
    ],
)
def test_what_is_no_class_does_not_become_one(tmp_path: Path, labels: list, says: str) -> None:
    rows = [{"file_name": f"{i}.png", "label": label} for i, label in enumerate(labels)]
    with pytest.raises(UserError, match=says):
        load(heap(tmp_path / "a", "\n".join(map(json.dumps, rows)), "metadata.jsonl"))
    pairs = [[f"{i}.png", label] for i, label in enumerate(labels)]
    if labels[0] not in ([0], 0.5):
        with pytest.raises(UserError):
            load(heap(tmp_path / "b", json.dumps({"labels": pairs}), "dataset.json"))


def test_labels_of_stylegan_are_of_the_folder_that_they_lie_in_and_of_pictures_that_are_there(
    tmp_path: Path,
) -> None:
    files: dict[str, bytes] = {}
    for split, first in (("train", 0), ("test", 6)):
        pairs = [[f"{i}.png", int(LABELS[i + first])] for i in range(6)]
        files |= {f"{split}/{i}.png": png(i + first) for i in range(6)}
        files[f"{split}/dataset.json"] = json.dumps({"labels": pairs}).encode()
    found = load(in_folder(tmp_path / "a", files))
    assert_right(found, ("0", "1", "2"))
    np.testing.assert_array_equal(found.test_labels, LABELS[6:12])
    for pairs, says in (
        ([["0.png", 0], ["1.png", 1], ["0.png", 1]], "names 0.png twice, with two classes"),
        ([["x0.png", 0], ["x1.png", 1]], "names no picture that is there"),
    ):
        with pytest.raises(UserError, match=says):
            load(heap(tmp_path / "b", json.dumps({"labels": pairs}), "dataset.json"))
