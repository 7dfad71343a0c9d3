"""Arrays as people save them: what is not read is said, and what could be read in two ways is refused."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.files import in_folder, png
from tests.training.tiny import command, stripes
from training.data.dataset import Dataset
from training.data.formats import load
from training.data.label_check import remarks
from training.errors import UserError

IMAGES, LABELS = stripes(20, 28, 1, 2)
COLOURS = np.stack(np.broadcast_arrays(np.arange(32)[:, None] * 7, np.arange(32) * 8, 100), axis=-1)


def saved(path: Path, *arrays: Any, **named: Any) -> Path:
    np.savez(path / "set.npz", *arrays, **named)
    return path / "set.npz"


def test_labels_that_are_names_are_indices_of_the_class_names(tmp_path: Path) -> None:
    names = np.array(["zebra", "ant"])[LABELS]
    dataset = load(saved(tmp_path, images=IMAGES, labels=names, class_names=["zebra", "ant"]))
    assert dataset.class_names == ("zebra", "ant")
    label_of = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert [label_of[image.tobytes()] for image in dataset.images] == dataset.labels.tolist()
    with pytest.raises(UserError, match="label 'ant' is none of the class names zebra, cow"):
        load(saved(tmp_path, images=IMAGES, labels=names, class_names=["zebra", "cow"]))


@pytest.mark.parametrize("labels", [LABELS[None], LABELS[:, None, None], LABELS == 1, np.eye(2)[LABELS]])
def test_labels_of_shapes_that_say_one_thing_are_read(tmp_path: Path, labels: np.ndarray) -> None:
    dataset = load(saved(tmp_path, images=IMAGES, labels=labels, test_images=IMAGES, test_labels=labels))
    assert dataset.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.eye(2)[LABELS].T, r"20 images but 40 labels, of shape \(2, 20\)"),
        (np.tile(LABELS, 2), "20 images but 40 labels"),
        (np.zeros((20, 2, 2), int), r"labels are int64 \(20, 2, 2\)"),
        (np.where(LABELS == 1, np.inf, 0), "one is inf"),
        (LABELS + np.uint64(2**63), "one is 9223372036854775808"),
        (LABELS + 0.5, "one is 0.5"),
    ],
)
def test_labels_of_other_shapes_and_numbers_are_refused(tmp_path: Path, labels: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(saved(tmp_path, images=IMAGES, labels=labels))


@pytest.mark.parametrize(
    "names",
    ["images labels images_test labels_test", "x_train y_train val_x val_y", "arr_0 arr_1 arr_2 arr_3",
     "X target valid_X valid_target", "trainX trainY testX testY", "Training-Images targets dev_images dev_targets"],
)  # fmt: skip
def test_held_out_images_by_many_names_are_held_out(tmp_path: Path, names: str) -> None:
    arrays = [IMAGES[:16], LABELS[:16], IMAGES[16:], LABELS[16:]]
    dataset = load(saved(tmp_path, **dict(zip(names.split(), arrays, strict=True))))
    assert np.array_equal(dataset.test_images[:, 0], IMAGES[16:, :, :, 0])
    assert dataset.test_labels.tolist() == LABELS[16:].tolist()
    assert (dataset.split, dataset.notes) == (Dataset.split, ())


def test_every_array_that_is_not_read_is_named(tmp_path: Path) -> None:
    dataset = load(
        saved(tmp_path, x=IMAGES, y=LABELS, kind=LABELS, y_test=LABELS, split=np.array(["a"] * 20))
    )
    (note,) = dataset.notes
    assert note.startswith("left out, an array of which nothing is read: 3 (")
    assert all(name in note for name in ("kind", "y_test", "split"))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": IMAGES, "Images": IMAGES}, "both images and Images, which mean the same"),
        ({"x": IMAGES, "y": LABELS, "targets": LABELS}, "both y and targets"),
        ({"x": IMAGES, "classes": LABELS}, "names of classes and no labels"),
    ],
)
def test_arrays_that_mean_the_same_or_name_classes_of_nothing_are_refused(
    tmp_path: Path, arrays: Any, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        load(saved(tmp_path, **arrays))


def test_flat_rows_of_the_other_order_of_colours_are_refused(tmp_path: Path) -> None:
    pixels = np.repeat(COLOURS[None].astype(np.uint8), 20, axis=0)
    with pytest.raises(UserError, match=r"reshape them to \[N, H, W, 3\]"):
        load(saved(tmp_path, images=pixels.reshape(20, -1), labels=LABELS))
    dataset = load(saved(tmp_path, images=pixels.transpose(0, 3, 1, 2).reshape(20, -1), labels=LABELS))
    assert np.array_equal(dataset.images[0].transpose(1, 2, 0), COLOURS)
    assert "flat rows, read as 32x32, one plane of a colour after another: 20 (set.npz)" in dataset.notes


RAMP = (IMAGES - IMAGES.min()) / np.ptp(IMAGES)


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (IMAGES, RAMP, "but one split's pixels are from 0 to 1: store both alike"),
        (RAMP * 2 - 1, RAMP, "but one split's pixels are from 0 to 1"),
        (np.where(IMAGES > 99, 1e308, -1e308), RAMP, r"numbers from -1e\+308 to 1e\+308"),
        (RAMP * 1e-310, RAMP * 1e-310, "numbers from 0 to 1e-310"),
    ],
)
def test_ranges_that_no_pixels_have_are_refused(tmp_path: Path, train: Any, test: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(saved(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS))


def test_half_a_range_is_no_range_of_others(tmp_path: Path) -> None:
    dataset = load(saved(tmp_path, images=RAMP - 0.5))
    assert (dataset.images.min(), dataset.images.max()) == (0, 255)
    assert "float64, of which -0.5 is black and 0.5 white: 20 (set.npz)" in dataset.notes


@pytest.mark.parametrize(("low", "how"), [(0, "darker than 64"), (-1, "brighter than 126")])
def test_a_class_of_another_range_is_named_in_each_split(tmp_path: Path, low: float, how: str) -> None:
    others = RAMP * 255 if low == 0 else RAMP * 2 - 1
    said = [*remarks(load(saved(tmp_path, images=np.where(LABELS[:, None, None, None] == 1, RAMP, others), labels=LABELS)))]  # fmt: skip
    for split in ("training", "test"):
        assert any(f"every pixel of the {split} images of 1 is {how} of 255" in remark for remark in said)


def test_a_packed_or_locked_archive_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, images=IMAGES)
    for name, offset, value in (("locked", 6, 1), ("packed", 8, 99)):
        content = bytearray(buffer.getvalue())
        # Of the member, and two further in the directory.
        for start in (content.index(b"PK\3\4"), content.rindex(b"PK\1\2") + 2):
            content[start + offset] = value
        (tmp_path / f"{name}.npz").write_bytes(content)
        assert zipfile.is_zipfile(tmp_path / f"{name}.npz")
        with pytest.raises(UserError, match=r"cannot be read as an \.npz"):
            load(tmp_path / f"{name}.npz")


def test_an_array_whose_head_is_torn_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", IMAGES)
    torn = (tmp_path / "set.npy").read_bytes().replace(b"), }", b"(, }")
    (tmp_path / "set.npy").write_bytes(torn)
    with pytest.raises(UserError, match=r"cannot be read as an \.npy"):
        load(tmp_path / "set.npy")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("prefix", ["", "emnist-digits-"])
@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (IMAGES[..., 0], LABELS[:, None], None),
        (IMAGES[..., 0], np.eye(2, dtype=np.uint8)[LABELS], None),
        (IMAGES[..., 0], LABELS[0], "20 images but 1 labels"),
        (LABELS, IMAGES[..., 0], "wanted is one integer or name"),
        (LABELS[0], LABELS[:1], "images have shape"),
    ],
)
def test_idx_of_any_dimensions_is_read_or_refused(
    tmp_path: Path, prefix: str, images: Any, labels: Any, says: str | None
) -> None:
    files = {
        "train-images-idx3-ubyte": images,
        "train-labels-idx1-ubyte": labels,
        "val-labels-idx1-ubyte": labels,
    }
    folder = in_folder(tmp_path / "set", {prefix + name: idx(np.asarray(one)) for name, one in files.items()})
    if says:
        with pytest.raises(UserError, match=says):
            load(folder)
    else:
        dataset = load(folder)
        assert dataset.class_names == ("0", "1")
        assert any("of neither train nor test by its name: 1" in note for note in dataset.notes)


def test_pickles_of_cifar_may_have_their_pixels_in_another_order(tmp_path: Path) -> None:
    pixels = np.repeat(COLOURS[None].astype(np.uint8), 20, axis=0)
    batch = pickle.dumps({"data": pixels, "labels": LABELS.tolist()})
    dataset = load(in_folder(tmp_path / "set", {"data_batch_1": batch, "test_batch": batch}))
    assert np.array_equal(dataset.images[0].transpose(1, 2, 0), COLOURS)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({"labels": [0.7, 1.2] * 10}, "and one is 0.7"),
        ({"labels": [10**30] * 20}, "labels are object"),
        ({"data": np.array(3, np.uint8)}, "no uint8 `data` of 3,072 per image"),
        ({"data": np.repeat(COLOURS[None].astype(np.uint8), 20, axis=0).reshape(20, -1)}, "reshape them to"),
    ],
)
def test_pickles_that_are_nearly_cifar_are_refused(tmp_path: Path, batch: Any, says: str) -> None:
    whole = {"data": np.zeros((20, 3072), np.uint8), "labels": LABELS.tolist()}
    content = pickle.dumps(whole | batch)
    with pytest.raises(UserError, match=says):
        load(in_folder(tmp_path / "set", {"data_batch_1": content, "test_batch": content}))


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, "cat"] * 4, "some labels are numbers, and some names"), ([0, 10**30] * 4, f"has {10**30}")],
)
def test_labels_of_a_table_are_of_one_kind_and_never_too_long(tmp_path: Path, labels, says) -> None:
    rows = [json.dumps({"file_name": f"{i}.png", "label": label}) for i, label in enumerate(labels)]
    files = {f"{i}.png": png(i) for i in range(8)} | {"metadata.jsonl": "\n".join(rows).encode()}
    with pytest.raises(UserError, match=says):
        load(in_folder(tmp_path / "set", files))


@pytest.mark.parametrize(
    ("name", "says"),
    [("a\nb", "its name, 'a\\nb', has a line break"), ("x" * 5000, "longer than 200 bytes"), ("!", "neither a letter")],
)  # fmt: skip
def test_a_name_that_no_file_could_have_is_refused(tmp_path: Path, name: str, says: str) -> None:
    path = saved(tmp_path, images=IMAGES, dataset="other")
    words = ("prepare", "--data", path, "--out", tmp_path / "out.npz", "--name")
    result = command(*words, name)
    assert result.exit_code == 1
    assert says in result.output
    assert result.output.count("\n") == 1
    assert command(*words, "mine").exit_code == 0
    assert load(tmp_path / "out.npz").name == "mine"
