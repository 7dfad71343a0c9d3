"""Archives as people pack them: nothing in them is lost without a word, and nothing becomes a class that is none."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.files import LABELS, NAMES, in_folder, in_tar, in_zip, png, samples, tree
from tests.training.tiny import command
from training.data.dataset import UNLABELLED
from training.data.formats import load
from training.errors import UserError

COUNT = len(LABELS)


def heap(first: int = 0, last: int = COUNT) -> dict[str, bytes]:
    return {f"{i:03}.png": png(i) for i in range(first, last)}


def test_an_archive_beside_pictures_is_left_out(tmp_path: Path) -> None:
    folder = in_folder(tmp_path / "set", tree())
    in_tar(folder / "cat/backup.tar", {"x.png": png(0)})
    found = load(folder)
    assert found.class_names == NAMES
    assert "left out, .tar, which is no picture's: 1 (cat/backup.tar)" in found.notes


@pytest.mark.parametrize("form", ["{name}.tar", "{name}/000.tar", "n{number}.tar", "train/{name}-0.tar"])
def test_an_archive_per_class_is_a_class(tmp_path: Path, form: str) -> None:
    for label, name in enumerate(NAMES):
        own = {f"{i}.png": png(i) for i in range(COUNT) if LABELS[i] == label}
        in_tar(tmp_path / "set" / form.format(name=name, number=1234 + 7 * label), own)
    found = load(tmp_path / "set")
    assert found.class_names == (NAMES if "{name}" in form else ("n1234", "n1241", "n1248"))
    np.testing.assert_array_equal(np.bincount([*found.labels, *found.test_labels]), np.bincount(LABELS))


@pytest.mark.parametrize("form", ["{}.tar", "{}/00.tar", "set-{}-0000.tar"])
def test_an_archive_per_split_is_a_split(tmp_path: Path, form: str) -> None:
    parts = list(tree().items())
    in_tar(tmp_path / "a" / form.format("train"), dict(parts[:18]))
    in_tar(tmp_path / "a" / form.format("test"), dict(parts[18:]))
    found = load(tmp_path / "a")
    assert found.class_names == NAMES
    np.testing.assert_array_equal(found.test_labels, LABELS[18:])
    in_tar(tmp_path / "b" / form.format("train"), samples(0, 18))
    in_tar(tmp_path / "b" / form.format("test"), samples(18, 24))
    np.testing.assert_array_equal(load(tmp_path / "b").test_labels, LABELS[18:])


def test_numbered_archives_are_parts_of_one_set(tmp_path: Path) -> None:
    in_tar(tmp_path / "a/set-0000.tar", heap(0, 12))
    in_tar(tmp_path / "a/set-0001.tar", heap(12))
    found = load(tmp_path / "a")
    assert found.class_names == UNLABELLED
    assert "archives whose names tell no class, read as parts of one: 2 (a)" in found.notes
    in_folder(tmp_path / "a", {"assets/logo.png": png(0)})
    assert "left out, beside the archives: 1 (assets/logo.png)" in load(tmp_path / "a").notes
    in_tar(tmp_path / "c/0.tar", heap(0, 12))
    in_tar(tmp_path / "c/1.tar", heap(12))
    assert load(tmp_path / "c").class_names == ("0", "1")
    parts = list(tree().items())
    in_tar(tmp_path / "b/part1.tar.gz", dict(parts[:12]))
    in_tar(tmp_path / "b/part2.tar.gz", dict(parts[12:]))
    assert load(tmp_path / "b").class_names == NAMES


def test_a_table_in_a_tar_is_read_as_in_a_zip(tmp_path: Path) -> None:
    table = "\n".join(["file,label", *(f"{i:03}.png,{NAMES[LABELS[i]]}" for i in range(COUNT))]).encode()
    for name, pack in (("a.tar", in_tar), ("a.zip", in_zip)):
        for folder in ("", "heap/"):
            files = {folder + one: content for one, content in (heap() | {"labels.csv": table}).items()}
            assert load(pack(tmp_path / name, files)).class_names == NAMES


def test_links_in_a_tar_are_followed_and_one_to_nothing_is_named(tmp_path: Path) -> None:
    path = in_tar(tmp_path / "set.tar", tree())
    with tarfile.open(path, "a") as archive:
        for name, kind, to in (
            ("dog/a.png", tarfile.LNKTYPE, "cat/001.png"),
            ("dog/b.png", tarfile.SYMTYPE, "../cat/001.png"),
            ("dog/c.png", tarfile.SYMTYPE, "../cat/none.png"),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, to
            archive.addfile(entry)
    found = load(path)
    assert len(found.images) + len(found.test_images) == COUNT + 2
    assert any("can't be read as pictures: 1 (dog/c.png" in note for note in found.notes)


def test_a_mask_beside_the_picture_of_a_sample_is_no_picture_of_the_class(tmp_path: Path) -> None:
    masks = {f"{i:06}.seg.png": png(0) for i in range(COUNT)}
    found = load(in_tar(tmp_path / "a.tar", samples(0, COUNT) | masks))
    assert len(found.images) + len(found.test_images) == COUNT
    assert any(note.startswith(f"left out, another picture of its sample: {COUNT}") for note in found.notes)
    both = {f"{i:06}.{which}.png": png(0) for i in range(4) for which in ("left", "right")}
    both |= {f"{i:06}.cls": b"0" for i in range(4)}
    with pytest.raises(UserError, match="are pictures of one sample"):
        load(in_tar(tmp_path / "b.tar", both))


def with_folder(path: Path, name: str) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}/", b"")
    else:
        with tarfile.open(path, "a") as archive:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
    return path


@pytest.mark.parametrize("top", ["", "train/"])
def test_a_class_that_is_empty_or_hides_itself_is_named_in_archives_too(tmp_path: Path, top: str) -> None:
    files = {f"{top}{name}": content for name, content in tree().items()}
    hides = files | {f"{top}.NET/{i}.png": png(i) for i in range(3)} | {f"{top}.NET/.x/y.png": png(0)}
    said = f"left out, a folder of pictures that hides itself by the dot before its name: 1 ({top}.NET)"
    for name, pack in (("a.zip", in_zip), ("a.tar", in_tar), ("a", in_folder)):
        assert said in load(pack(tmp_path / name, hides)).notes
    for name, pack in (("b.zip", in_zip), ("b.tar", in_tar)):
        with pytest.raises(UserError, match=f"{top}bear holds no images: every subfolder is a class"):
            load(with_folder(pack(tmp_path / name, files), f"{top}bear"))


@pytest.mark.parametrize("name", ["../cat/001.png", "/cat/001.png", "./cat//001.png", "dog/../cat/001.png"])
def test_two_files_that_would_lie_in_one_place_are_refused(tmp_path: Path, name: str) -> None:
    for archive, pack in (("a.zip", in_zip), ("a.tar", in_tar)):
        with pytest.raises(UserError, match=r"holds cat/001.png twice, once as '"):
            load(pack(tmp_path / archive, tree() | {name: png(0)}))


class Unsaid(zipfile.ZipInfo):
    """A name in letters of which the archive says nothing."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "cp866"])
def test_names_in_letters_that_a_zip_does_not_tell_are_utf_8_or_refused(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unsaid, "encoding", encoding)
    names = ("кошка", "собака")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i in range(8):
            archive.writestr(Unsaid(f"{names[i % 2]}/{i}.png"), png(i))
    if encoding == "utf-8":
        assert load(tmp_path / "set.zip").class_names == names
        return
    result = command("prepare", "--data", tmp_path / "set.zip", "--out", tmp_path / "out.npz")
    assert result.exit_code == 1
    assert "pack it with names in UTF-8" in result.output


def test_why_a_tar_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    with pytest.raises(
        UserError, match=r"tar archive: file could not be opened successfully: - method .*; copy"
    ):
        load(tmp_path / "set.tar.gz")
