"""Data sets as people have them: with rows without a class, tables elsewhere, folders called otherwise, and pointers of Git LFS."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.needs import needs
from tests.training.data.files import LABELS, NAMES, in_folder, in_tar, in_zip, png, tree
from training.data.formats import load
from training.errors import UserError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
COUNT = len(LABELS)


def said(dataset: Any) -> str:
    return "\n".join(dataset.notes)


@pytest.mark.parametrize(
    ("train", "test"),
    [("training_set", "test_set"), ("Train Images", "Test Images"), ("train2017", "val2017"), ("trainset", "testset")],
)  # fmt: skip
def test_folders_of_splits_by_other_names_are_the_split(tmp_path: Path, train: str, test: str) -> None:
    files = {f"{train if i < 18 else test}/{NAMES[LABELS[i]]}/{i}.png": png(i) for i in range(COUNT)}
    found = load(in_folder(tmp_path / "set", files))
    assert (len(found.labels), len(found.test_labels)) == (18, COUNT - 18)


def test_nobody_is_sent_to_the_test_images(tmp_path: Path) -> None:
    files = {
        f"{part}/{NAMES[LABELS[i]]}/{i}.png": png(i)
        for part in ("pictures for test", "pictures to train")
        for i in range(COUNT)
    }
    with pytest.raises(UserError, match="its subfolder 'pictures to train' holds the class folders"):
        load(in_folder(tmp_path / "set", files))


def test_a_class_that_is_called_like_a_test_is_one(tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": png(i) for name in ("test tube", "crash test") for i in range(4)}
    assert load(in_folder(tmp_path / "set", files)).class_names == ("crash test", "test tube")


def test_pictures_that_stylegan_names_without_a_class_are_left_out_by_name(tmp_path: Path) -> None:
    rows = [[f"{i}.png", None if i == 3 else int(LABELS[i])] for i in range(COUNT)]
    files = {f"{i}.png": png(i) for i in range(COUNT)}
    for form, labels in (("list", rows), ("dict", dict(rows))):
        document = {"dataset.json": json.dumps({"labels": labels}).encode()}
        found = load(in_zip(tmp_path / f"{form}.zip", files | document))
        assert len(found.labels) + len(found.test_labels) == COUNT - 1
        assert "left out, of no class: 1 (3.png)" in said(found)


def test_a_class_without_its_picture_is_named(tmp_path: Path) -> None:
    files = {f"{i:04}.png": png(i) for i in range(COUNT) if i != 5}
    files |= {f"{i:04}.cls": str(LABELS[i]).encode() for i in range(COUNT)}
    assert "left out, a class without its picture: 1 (0005)" in said(load(in_tar(tmp_path / "a.tar", files)))


def test_a_table_above_a_folder_of_pictures_names_them_without_it(tmp_path: Path) -> None:
    table = "\n".join(["file,class", *(f"{i},{NAMES[LABELS[i]]}" for i in range(COUNT)), "99,cat"]).encode()
    files = {f"images/{i}.png": png(i) for i in range(COUNT)}
    found = load(in_folder(tmp_path / "set", files | {"labels.csv": table}))
    assert found.class_names == NAMES
    assert "left out, named in a table and not there: 1 (99)" in said(found)


def test_a_table_without_a_column_of_classes_says_so(tmp_path: Path) -> None:
    table = "\n".join(["file,colour,size", *(f"{i}.png,red,big" for i in range(COUNT))]).encode()
    found = load(in_folder(tmp_path / "set", {f"{i}.png": png(i) for i in range(COUNT)} | {"all.csv": table}))
    assert not found.has_classes
    assert "no column is called label: of no classes (colour, size)" in said(found)


def test_images_beside_class_folders_are_all_counted(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"holds 2 images beside the class folders \(x.png, y.png\): move them"
    ):
        load(in_folder(tmp_path / "set", tree() | {"x.png": png(0), "y.png": png(1)}))


def test_what_is_the_matter_with_all_pictures_is_said_once(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32), np.nan, np.float32)).save(buffer, "TIFF")
    files = {f"{name}/{i}.tif": buffer.getvalue() for name in NAMES for i in range(2)}
    with pytest.raises(UserError) as refusal:
        load(in_folder(tmp_path / "set", files))
    assert f"{refusal.value}".count("NaN or infinite pixels") == 1
    assert "left out, NaN or infinite pixels: 6 (bird/0.tif" in f"{refusal.value}"


def test_pointers_of_git_lfs_are_called_so(tmp_path: Path) -> None:
    for name in ("set.zip", "set.npz", "set.parquet", "set.tar.gz"):
        (tmp_path / name).write_bytes(POINTER)
        with pytest.raises(UserError, match=r"is a pointer of Git LFS: `git lfs pull`"):
            load(tmp_path / name)
    found = load(in_folder(tmp_path / "set", tree() | {"cat/x.png": POINTER}))
    assert "cat/x.png: a pointer of Git LFS, of which `git lfs pull` gets the picture" in said(found)


def parquet_of(path: Path, **columns: list) -> Path:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        needs(None, "pyarrow")
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
    return path


PICTURES = [{"bytes": png(i), "path": None} for i in range(8)]


def test_the_only_other_column_of_parquet_has_the_classes(tmp_path: Path) -> None:
    found = load(parquet_of(tmp_path / "a.parquet", image=PICTURES, breed=["cat", "dog"] * 4))
    assert found.class_names == ("cat", "dog")
    assert "classes from column 'breed'" in said(found)
    several = parquet_of(tmp_path / "b.parquet", image=PICTURES, colour=["red"] * 8, size=[1] * 8)
    assert "no column is called label: of no classes (colour, size)" in said(load(several))


def test_rows_of_parquet_without_a_class_are_left_out_and_the_others_keep_theirs(tmp_path: Path) -> None:
    labels = [None if i == 2 else i % 2 for i in range(8)]
    pictures = [*PICTURES[:5], None, *PICTURES[6:]]
    found = load(parquet_of(tmp_path / "a.parquet", image=pictures, label=labels))
    assert "left out, of no class: 1 (a.parquet row 2)" in said(found)
    assert "a.parquet row 5: empty" in said(found)
    images, labels = (
        np.concatenate(parts)
        for parts in ((found.images, found.test_images), (found.labels, found.test_labels))
    )
    assert len(images) == 6
    for image, label in zip(images, labels, strict=True):
        (place,) = (
            i
            for i in range(8)
            if np.array_equal(np.asarray(Image.open(io.BytesIO(png(i)))).transpose(2, 0, 1), image)
        )
        assert label == place % 2


def test_of_several_columns_of_pictures_the_one_that_is_called_so_is_read(tmp_path: Path) -> None:
    found = load(parquet_of(tmp_path / "a.parquet", image=PICTURES, mask=PICTURES[::-1], label=[0, 1] * 4))
    assert "left out, columns of other pictures than 'image': 1 (mask)" in said(found)
    with pytest.raises(UserError, match="call it `image`"):
        load(parquet_of(tmp_path / "b.parquet", photo=PICTURES, mask=PICTURES, label=[0, 1] * 4))


def test_files_of_parquet_that_differ_are_named(tmp_path: Path) -> None:
    parquet_of(tmp_path / "set/train-0.parquet", image=PICTURES, label=[0, 1] * 4)
    parquet_of(tmp_path / "set/train-1.parquet", img=PICTURES, label=[0, 1] * 4)
    with pytest.raises(UserError, match=r"train-1.parquet has no column image, as others have"):
        load(tmp_path / "set")


def test_files_of_parquet_that_number_their_classes_differently_are_refused(tmp_path: Path) -> None:
    labels = [0, 1] * 4
    for names in (["cat", "dog"], ["dog", "cat"]):
        schema = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        path = parquet_of(tmp_path / f"a/{names[0]}.parquet", image=PICTURES, label=labels)
        described(path, schema)
    with pytest.raises(UserError, match="column label of its files has other classes, or in another order"):
        load(tmp_path / "a")
    parquet_of(tmp_path / "b/0.parquet", image=PICTURES, label=labels)
    parquet_of(tmp_path / "b/1.parquet", image=PICTURES, label=["cat", "dog"] * 4)
    with pytest.raises(UserError, match="column label of its files has other classes"):
        load(tmp_path / "b")


def described(path: Path, features: dict) -> None:
    """As `datasets` describes the columns."""
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    said = json.dumps({"info": {"features": features}})
    parquet.write_table(parquet.read_table(path).replace_schema_metadata({"huggingface": said}), path)


def test_parquet_without_the_pictures_themselves_is_refused_in_its_own_words(tmp_path: Path) -> None:
    lists = parquet_of(tmp_path / "a.parquet", images=[[png(i)] for i in range(8)], label=[0, 1] * 4)
    with pytest.raises(UserError, match=r"has 0 columns of images: .* images \(list<"):
        load(lists)
    paths = [{"bytes": None, "path": f"{i}.png"} for i in range(8)]
    with pytest.raises(UserError, match=r"row 0 has the picture's path \('0.png'\) and not its bytes"):
        load(parquet_of(tmp_path / "b.parquet", image=paths, label=[0, 1] * 4))


def test_metadata_of_parquet_beside_pictures_is_a_table(tmp_path: Path) -> None:
    folder = in_folder(tmp_path / "a", tree())
    parquet_of(folder / "metadata.parquet", file_name=["cat/001.png"], text=["a cat"])
    assert load(folder).class_names == NAMES
    heap = in_folder(tmp_path / "b", {f"{i}.png": png(i) for i in range(COUNT)})
    names = [f"{i}.png" for i in range(COUNT)]
    parquet_of(heap / "metadata.parquet", file_name=names, label=[NAMES[label] for label in LABELS])
    assert load(heap).class_names == NAMES


def test_parquet_of_another_split_than_train_is_not_trained_on(tmp_path: Path) -> None:
    for name in ("train-0", "holdout-0"):
        parquet_of(tmp_path / f"a/{name}.parquet", image=PICTURES, label=[0, 1] * 4)
    found = load(tmp_path / "a")
    assert len(found.images) + len(found.test_images) == 8
    assert "beside those called train, and not called so: 8 (holdout-0.parquet)" in said(found)
