"""Layouts that people have are read as they come, without advice to arrange them otherwise."""

import pickle
import pickletools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.needs import needs
from tests.training.data import files
from tests.training.data.files import IMAGES, LABELS, NAMES
from tests.training.tiny import command
from training.data.dataset import UNLABELLED, Dataset
from training.data.formats import load
from training.errors import UserError

NCHW = IMAGES.transpose(0, 3, 1, 2)


def assert_same(dataset: Dataset, names: tuple[str, ...] = NAMES, train: int | None = None) -> None:
    """Every image is there, under its class; the first `train` of them are trained on, if that is given."""
    label_of = {image.tobytes(): label for image, label in zip(NCHW, LABELS, strict=True)}
    if train is None:
        train = len(dataset.images)
    else:
        assert {image.tobytes() for image in dataset.images} == {image.tobytes() for image in NCHW[:train]}
        assert dataset.split == Dataset.split
    assert (len(dataset.images), len(dataset.test_images)) == (train, 24 - train)
    found = [
        *zip(dataset.images, dataset.labels, strict=True),
        *zip(dataset.test_images, dataset.test_labels, strict=True),
    ]
    assert sorted(image.tobytes() for image, _ in found) == sorted(label_of)
    assert dataset.class_names == names
    for image, label in found:
        assert names == UNLABELLED or label == label_of[image.tobytes()]


FORMS = {
    "folders": lambda path: files.in_folder(path, files.tree()),
    "upper case": lambda path: files.in_folder(path, files.tree(".PNG")),
    "zip": lambda path: files.in_zip(path.with_suffix(".zip"), files.tree()),
    "zip in a folder": lambda path: files.in_zip(
        path.with_suffix(".zip"), {f"animals/all/{name}": content for name, content in files.tree().items()}
    ),
    "tar": lambda path: files.in_tar(path.with_suffix(".tar"), files.tree()),
    "tar.gz": lambda path: files.in_tar(path.with_suffix(".tar.gz"), files.tree()),
    "table": files.table,
}  # fmt: skip
NUMBERED = {
    "stylegan": lambda path: files.in_folder(path, files.stylegan()),
    "stylegan zip": lambda path: files.in_zip(path.with_suffix(".zip"), files.stylegan()),
    "webdataset": lambda path: files.in_tar(path.with_suffix(".tar"), files.samples(0, 24)),
}


@pytest.mark.parametrize("form", FORMS)
def test_pictures_by_the_name_of_their_class(tmp_path: Path, form: str) -> None:
    assert_same(load(FORMS[form](tmp_path / "set")))


@pytest.mark.parametrize("form", NUMBERED)
def test_pictures_by_the_number_of_their_class(tmp_path: Path, form: str) -> None:
    assert_same(load(NUMBERED[form](tmp_path / "set")), ("0", "1", "2"))


def test_train_and_test_folders_are_the_split(tmp_path: Path) -> None:
    parts = {
        f"{'Train' if i < 18 else 'TEST'}/{name}": content
        for i, (name, content) in enumerate(files.tree().items())
    }
    assert_same(load(files.in_folder(tmp_path / "set", parts)), train=18)


def test_validation_pictures_are_held_out_where_nothing_else_is_and_else_left_out(tmp_path: Path) -> None:
    splits = ["train"] * 18 + ["val"] * 6
    parts = {f"{splits[i]}/{name}": content for i, (name, content) in enumerate(files.tree().items())}
    folder = files.in_folder(tmp_path / "set", parts)
    assert_same(load(folder), train=18)
    files.in_folder(folder, {f"test/{name}/x.png": files.png(0) for name in NAMES})
    dataset = load(folder)
    assert len(dataset.test_images) == 3
    assert any(note.startswith("left out, of val, since test is held out: 6") for note in dataset.notes)


def test_test_pictures_alone_are_never_trained_on(tmp_path: Path) -> None:
    folder = files.in_folder(
        tmp_path / "set", {f"test/{name}": content for name, content in files.tree().items()}
    )
    with pytest.raises(UserError, match="no training images, only test"):
        load(folder)


def test_test_pictures_without_classes_are_left_out_by_name(tmp_path: Path) -> None:
    parts = {f"train/{name}": content for name, content in files.tree().items()}
    dataset = load(files.in_folder(tmp_path / "set", parts | {"test/1.png": files.png(0)}))
    assert len(dataset.images) + len(dataset.test_images) == 24
    assert "left out, of no class: 1 (test/1.png)" in dataset.notes


def test_one_heap_of_pictures_has_no_classes_and_one_class_is_one(tmp_path: Path) -> None:
    heap = {f"{i}.png": files.png(i) for i in range(24)}
    assert_same(load(files.in_folder(tmp_path / "heap", heap)), UNLABELLED)
    one = {f"cat/{name}": content for name, content in heap.items()}
    assert load(files.in_folder(tmp_path / "one", one)).class_names == ("cat",)
    assert_same(load(files.in_zip(tmp_path / "s.zip", files.stylegan(labels=False))), UNLABELLED)


def test_folders_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    parts = {f"{number}/{i}.png": files.png(i) for number in range(12) for i in range(2)}
    assert load(files.in_folder(tmp_path / "set", parts)).class_names == tuple(map(str, range(12)))


def test_shards_are_split_as_they_are_named(tmp_path: Path) -> None:
    assert_same(load(files.shards(tmp_path / "set")), ("0", "1", "2"), train=18)


MEDMNIST = {"train_images": IMAGES[:18], "train_labels": LABELS[:18, None], "test_images": IMAGES[18:],
            "test_labels": LABELS[18:, None], "val_images": IMAGES[:3], "val_labels": LABELS[:3, None]}  # fmt: skip
KERAS = {"x_train": IMAGES[:18], "y_train": LABELS[:18], "x_test": IMAGES[18:], "y_test": LABELS[18:]}


@pytest.mark.parametrize("arrays", [MEDMNIST, KERAS], ids=["medmnist", "keras"])
def test_arrays_by_the_names_of_others(tmp_path: Path, arrays: dict) -> None:
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    dataset = load(tmp_path / "set.npz")
    assert_same(dataset, ("0", "1", "2"), train=18)
    assert any("since the test images are held out" in note for note in dataset.notes) == (
        "val_images" in arrays
    )


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (NCHW, LABELS.astype(np.float64)),
        (IMAGES, np.eye(3)[LABELS]),
        (NCHW.reshape(24, -1), LABELS[:, None].astype(np.int64)),
        (IMAGES / 255, LABELS),
        ((IMAGES / 127.5 - 1).astype(np.float32), LABELS),
        (IMAGES.astype(np.int64), LABELS),
        (np.concatenate([IMAGES, np.full_like(IMAGES[..., :1], 255)], axis=3), LABELS),
    ],
    ids=["floats as labels", "one-hot", "flat", "0 to 1", "-1 to 1", "int64", "RGBA"],
)
def test_arrays_of_any_shape_and_number_type(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.savez(tmp_path / "set.npz", images=images, labels=labels, class_names=np.array(NAMES, "S4"))
    assert_same(load(tmp_path / "set.npz"))


def test_labels_may_be_names_and_an_array_may_have_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", X=IMAGES, y=np.array(NAMES)[LABELS])
    assert_same(load(tmp_path / "set.npz"))
    np.save(tmp_path / "set.npy", IMAGES)
    assert_same(load(tmp_path / "set.npy"), UNLABELLED)


@pytest.mark.parametrize(
    ("form", "packed"),
    [("train-images-idx3-ubyte", True), ("{split}-{part}.idx{dimensions}-ubyte", False), ("kmnist-{split}-{part}-idx{dimensions}-ubyte", True)],
)  # fmt: skip
def test_mnist_by_its_mirrors_names(tmp_path: Path, form: str, packed: bool) -> None:
    form = form.replace("train-images-idx3", "{split}-{part}-idx{dimensions}")
    dataset = load(files.idx(tmp_path / "set", form, packed=packed))
    assert np.array_equal(dataset.images[:, 0], IMAGES[:18, 2:30, 2:30, 0])
    assert np.array_equal(dataset.test_labels, LABELS[18:])


def test_emnist_has_its_letters_upright(tmp_path: Path) -> None:
    letters = load(
        files.idx(tmp_path / "l", "emnist-letters-{split}-{part}-idx{dimensions}-ubyte", LABELS + 1)
    )
    assert letters.class_names == ("A", "B", "C")
    assert np.array_equal(letters.images[:, 0], IMAGES[:18, 2:30, 2:30, 0].transpose(0, 2, 1))
    from training.data.layouts.idx import emnist

    assert emnist("emnist-balanced")[36] == "a (small)"
    assert len(set(emnist("emnist-byclass"))) == 62


def test_several_idx_sets_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    folder = files.idx(tmp_path / "set", "emnist-letters-{split}-{part}-idx{dimensions}-ubyte")
    for file in list(folder.iterdir()):
        file.with_name(file.name.replace("letters", "digits")).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="2 data sets, emnist-digits, emnist-letters"):
        load(folder)


@pytest.mark.parametrize("write", [files.cifar_pickles, files.cifar_binaries])
def test_cifar_as_it_is_distributed(tmp_path: Path, write) -> None:
    assert_same(load(write(tmp_path / "set")), train=20)


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_no_code_of_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = files.cifar_pickles(tmp_path / "set")
    content = pickle.dumps({b"data": Hostile(), b"labels": [0]}, 2)
    assert "touch" in {argument for _, argument, _ in pickletools.genops(content)} | {"touch"}
    (folder / "data_batch_1").write_bytes(content)
    result = command("prepare", "--data", folder, "--out", "out.npz")
    assert result.exit_code == 1
    assert "which is not run" in result.output
    assert not Path("touched").exists()


def pyarrow() -> ModuleType:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        needs(None, "pyarrow")
    return pyarrow


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    arrow = pyarrow()
    folder = files.parquet(tmp_path / "set", arrow, arrow.parquet.write_table)
    assert_same(load(folder), train=18)
    assert load(folder / "train-00000-of-00001.parquet").class_names == NAMES


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "set.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"pip install 'ganserve\[parquet\]'"):
        load(tmp_path / "set.parquet")
