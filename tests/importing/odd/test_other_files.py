"""What is called a generator and is another kind of file says which, and how to get from there to one that is read."""

import gzip
import io
import tarfile
import zipfile

import onnx
import pytest

from tests.importing import foreign
from tests.importing.odd.test_faults import refused

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ONNX = foreign.dcgan().SerializeToString()


def zipped(**names: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("model.onnx")
        entry.size = len(ONNX)
        archive.addfile(entry, io.BytesIO(ONNX))
    return buffer.getvalue()


FILES = {
    "a pointer": (POINTER, "a pointer of Git LFS", "git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><title>Not found</title>", "a web page", "Download the file itself"),
    "OpenVINO's": (b'<?xml version="1.0"?><net name="g" version="11"></net>', "OpenVINO's format", "the .onnx file that it was made of"),
    "ONNX Runtime's own": (b"\x20\0\0\0ORTM" + bytes(64), "own format", "the .onnx file that it was made of"),
    "gzip": (gzip.compress(ONNX), "is packed", "Unpack it"),
    "tar": (tarred(), "is packed", "Unpack it"),
    "a zip archive": (zipped(**{"model/generator.onnx": ONNX}), "a zip archive, of model/generator.onnx", "Unpack it"),
    "a zip archive of something else": (zipped(**{"readme.txt": b"-"}), "is a zip archive.", "Unpack it"),
    "torch": (zipped(**{"netG/data.pkl": b"-"}), "is not ONNX", "--torch package.module:factory --weights"),
    "Keras": (zipped(**{"config.json": b"{}", "model.weights.h5": b"-"}), "is not ONNX", "tf2onnx.convert --keras"),
    "cut short": (ONNX[: len(ONNX) // 2], "is not an ONNX file", "it was cut short: copy it again"),
    "empty": (b"", "is empty", "Give a .onnx file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_told_its_way(tmp_path, kind):
    content, what, mend = FILES[kind]
    path = tmp_path / "generator.onnx"
    path.write_bytes(content)
    said = refused(path)
    assert what in said
    assert mend in said


def test_weights_that_git_left_out_are_named(tmp_path):
    path = tmp_path / "theirs.onnx"
    onnx.save(foreign.dcgan(), path, save_as_external_data=True, location="theirs.data", size_threshold=0)
    (tmp_path / "theirs.data").write_bytes(POINTER)
    said = refused(path)
    assert "theirs.data is a pointer of Git LFS" in said
    assert "git lfs pull" in said


@pytest.mark.parametrize(
    ("name", "what", "mend"),
    [
        ("saved_model.pb", "a SavedModel of TensorFlow", "tf2onnx.convert --saved-model"),
        ("generator.keras", "holds no ONNX file", "tf2onnx.convert --keras"),
        ("notes.txt", "holds no ONNX file, but notes.txt", "--torch package.module:factory"),
    ],
)
def test_a_folder_without_an_onnx_file_is_told_its_way(tmp_path, name, what, mend):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / name).write_bytes(b"-")
    said = refused(folder)
    assert what in said
    assert mend in said
