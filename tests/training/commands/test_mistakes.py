"""A user's mistake is one line and an exit status, and leaves nothing half-written."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data import files
from tests.training.tiny import TINY, command, stripes, write_npz


def told(*arguments: object, cap_bytes: int | None = None) -> tuple[int, str]:
    """Of a process of its own: its exit code and stderr. cap_bytes: what no file may grow beyond, as a full disk."""

    def capped() -> None:
        if cap_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (cap_bytes, cap_bytes))

    words = [sys.executable, "-m", "training", *map(str, arguments)]
    ended = subprocess.run(words, capture_output=True, text=True, preexec_fn=capped, check=False)
    return ended.returncode, ended.stderr


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    data, out = write_npz(tmp_path / "stripes.npz"), tmp_path / "out" / "mine.npz"
    out.parent.mkdir()
    out.write_bytes(b"of yesterday")
    code, said = told("prepare", "--data", data, "--out", out, cap_bytes=20_000)
    assert (code, said.count("\n")) == (1, 1), said
    assert f"{out} cannot be written: File too large" in said
    assert [(file.name, file.read_bytes()) for file in out.parent.iterdir()] == [
        ("mine.npz", b"of yesterday")
    ]


def test_a_full_disk_ends_a_run_in_one_line(tmp_path: Path) -> None:
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    code, said = told("train", "--data", data, "--run", run, *TINY, "--images", 16, cap_bytes=30_000)
    assert code == 1
    assert said.strip().splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in said
    assert not list(run.rglob("*.partial"))
    assert not (run / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("--set=width=100000", "GB are free: a smaller --set width= (now 100000)"),
        ("--set=width=1000000000000000000", "no machine has room for that"),
        ("--set=z_dim=100000000000", "GB are free"),
        ("--batch=1000000000", "or --batch (1000000000)"),
    ],
)
def test_networks_beyond_memory_are_refused_before_they_take_any(
    tmp_path: Path, setting: str, says: str
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    result = command("train", "--data", data, "--run", tmp_path / "run", *TINY, "--images", 4, setting)
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert says in result.output


IMAGES, LABELS = stripes(24, 28, 1, 3)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"labels": LABELS.astype(int) - 1}, "labels from -1 to 1"),
        ({"labels": LABELS.astype(int) * 10**12}, "labels from 0 to 2000000000000"),
        ({"labels": LABELS + 0.5}, "wanted is one integer or name per image"),
        ({"labels": np.where(LABELS == 1, np.nan, LABELS)}, "wanted is one integer or name per image"),
        ({"labels": LABELS[:20]}, "24 images but 20 labels"),
        ({"labels": np.array(3)}, "24 images but 1 labels"),
        ({"labels": np.ones((24, 14), int)}, "name none or several classes of an image"),
        ({"labels": LABELS.astype(complex)}, "wanted is one integer or name per image"),
        ({"class_names": np.array([b"caf\xe9", b"b", b"c"])}, "b'caf\\xe9', which is no UTF-8"),
        ({"class_names": np.array(["a", "b\n", "c"])}, "a line break or another character that can't be printed"),
        ({"class_names": np.array(["fi", "\ufb01", "c"])}, "classes 0 and 1 have one name"),
        ({"class_names": np.array(["\uff21", "b", "a"])}, "classes 0 and 2 have one name"),
        ({"class_names": np.array(["a", "b", "\U0001f600"])}, "neither a letter nor a digit"),
        ({"class_names": np.array(["a", "b", "x" * 300])}, "longer than 200 bytes"),
        ({"class_names": np.array(["a", "b"])}, "but 2 classes"),
        ({"images": IMAGES.astype(object)}, "without pickles"),
        ({"images": np.where(LABELS[:, None, None, None] == 2, np.inf, IMAGES)}, "NaN or infinity"),
        ({"images": IMAGES.astype(str)}, "they must be numbers"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no training images"),
        ({"images": IMAGES[:, :, :20]}, "images of 20x28"),
        ({"images": IMAGES.reshape(24, 2, 14, 28)}, "have shape (24, 2, 14, 28)"),
    ],
)  # fmt: skip
def test_arrays_that_can_not_be_used_are_refused_in_one_line(tmp_path: Path, arrays: dict, says: str) -> None:
    np.savez(tmp_path / "mine.npz", allow_pickle=True, **({"images": IMAGES, "labels": LABELS} | arrays))  # pyright: ignore[reportArgumentType]
    result = command("prepare", "--data", tmp_path / "mine.npz", "--out", tmp_path / "out.npz")
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert says in result.output
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    "name", ["set.npz", "set.npy", "set.zip", "set.tar", "set.tar.gz", "set.parquet", "set.pdf"]
)
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08", b"PK\x03\x04 cut", bytes(range(256)) * 8])
def test_files_of_anything_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    result = command("prepare", "--data", tmp_path / name, "--out", tmp_path / "out.npz")
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert str(tmp_path / name) in result.output


def test_a_class_folder_whose_name_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    files.in_folder(tmp_path / "set", files.tree())
    (tmp_path / "set" / "cat").rename(os.fsdecode(os.fsencode(tmp_path / "set") + b"/caf\xe9"))
    code, said = told("prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz")
    assert (code, said.count("\n")) == (1, 1), said
    assert "caf\\udce9" in said


def test_labels_of_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    for document in ("{", "[]", '{"labels": [["a.png"]]}', '{"labels": [["00000/img00000000.png", -1]]}'):
        parts = files.stylegan() | {"dataset.json": document.encode()}
        archive = files.in_zip(tmp_path / "set.zip", parts)
        result = command("prepare", "--data", archive, "--out", tmp_path / "out.npz")
        assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output


@pytest.mark.parametrize("label", ["9" * 5000, "-1", "no such", "3"])
def test_a_class_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, label: str) -> None:
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    command("train", "--data", data, "--run", run, *TINY, "--images", 4, "--no-tensorboard")
    result = command("sample", "--run", run, "--out", tmp_path / "x.png", "--label", label)
    assert result.exit_code == 2
    assert "choose from 0, 1, 2, or 0 to 2" in result.output


def test_packing_needs_little_more_memory_than_the_images(tmp_path: Path) -> None:
    """40 MB of images, and a tenth of what torch alone takes."""
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        picture = Image.fromarray(rng.integers(0, 255, (128, 128, 3), np.uint8))
        picture.save(tmp_path / "set" / label / "0.bmp")
        for i in range(1, 400):
            (tmp_path / "set" / label / f"{i}.bmp").symlink_to("0.bmp")
    code = (
        "import resource, sys; from training.__main__ import main; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, "prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    before, most, torch = said.split()
    assert (int(most) - int(before)) / 1024 < 40 + 30
    assert torch == "False"
