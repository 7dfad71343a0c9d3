"""Pictures as scanners make them, and tables as office programs save them."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.files import LABELS, NAMES, in_folder, png, stylegan
from tests.training.tiny import command
from training.data.formats import load
from training.data.picture import on_white

MEGAPIXELS = 36


def table(path: Path, encoding: str, separator: str = ",", breeds: tuple[str, ...] = NAMES) -> Path:
    rows = [f"{i:03}{separator}{breeds[label]}" for i, label in enumerate(LABELS)]
    text = "\r\n".join([f"id{separator}breed", *rows])
    pictures = {f"{i:03}.png": png(i) for i in range(len(LABELS))}
    return in_folder(path, pictures | {"labels.csv": text.encode(encoding)})


@pytest.mark.parametrize(
    ("encoding", "separator"),
    [("utf-8-sig", ","), ("utf-16", ","), ("utf-16", "\t"), ("utf-8", ";"), ("utf-8-sig", ";")],
)
def test_tables_of_classes_as_office_programs_save_them(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    breeds = ("büro", "кот", "собака белая")
    assert load(table(tmp_path / "set", encoding, separator, breeds)).class_names == breeds


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1251", "utf-32"])
def test_a_table_of_another_encoding_is_refused_and_not_left_out(tmp_path: Path, encoding: str) -> None:
    """Without it the generator would be trained without classes."""
    source = table(tmp_path / "set", encoding, breeds=("кошка", "кот", "пёс"))
    result = command("prepare", "--data", source, "--out", tmp_path / "out.npz")
    assert result.exit_code == 1
    assert "labels.csv can't be read: neither UTF-8 nor UTF-16" in result.output
    assert "save it as UTF-8" in result.output
    assert not (tmp_path / "out.npz").exists()


def test_stylegan_s_labels_may_be_of_any_of_these(tmp_path: Path) -> None:
    files = stylegan()
    files["dataset.json"] = files["dataset.json"].decode().encode("utf-16")
    assert load(in_folder(tmp_path / "set", files)).class_names == ("0", "1", "2")


def peak_mb(*arguments: object) -> float:
    """Of `python -m training` with these, in a process of its own."""
    program = (
        "import resource, sys; from training.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "    raise"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return float(done.stdout.splitlines()[-1]) / 1000


def test_a_large_scan_is_never_whole_in_memory_more_often_than_it_must(tmp_path: Path) -> None:
    """With transparency: four bytes per pixel as it is stored, and three laid on white."""
    side = int((MEGAPIXELS * 1e6) ** 0.5)
    (tmp_path / "set" / "scans").mkdir(parents=True)
    Image.new("RGBA", (side, side), (9, 99, 199, 128)).save(
        tmp_path / "set" / "scans" / "0.png", compress_level=1
    )
    small = peak_mb("prepare", "--help")
    words = ["prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz"]
    assert peak_mb(*words, "--size", 64) - small < 10 * MEGAPIXELS
    # Of another size than the networks make it is refused by its head, without a look at its pixels.
    assert peak_mb(*words) - small < MEGAPIXELS


@pytest.mark.parametrize(
    ("stored", "suffix", "most"),
    [(np.uint16, "png", 6), (np.uint16, "tif", 8), (np.int32, "tif", 14), (np.float32, "tif", 14)],
)
def test_nor_is_one_of_more_than_8_bits(tmp_path: Path, stored: type, suffix: str, most: int) -> None:
    """most: bytes of memory per pixel. An uncompressed file is in memory itself, beside what it is decoded to."""
    (tmp_path / "set" / "scans").mkdir(parents=True)
    # Made elsewhere: a process counts as its own what its parent had.
    program = (
        "import sys; import numpy as np; from PIL import Image\n"
        "side, stored, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
        "ramp = np.arange(side, dtype=stored)[:, None].repeat(side, axis=1)\n"
        "Image.fromarray(ramp).save(path, **({'compress_level': 1} if path.endswith('png') else {}))"
    )
    path = tmp_path / "set" / "scans" / f"0.{suffix}"
    side = int((MEGAPIXELS * 1e6) ** 0.5)
    subprocess.run([sys.executable, "-c", program, f"{side}", np.dtype(stored).name, path], check=True)
    small = peak_mb("prepare", "--help")
    words = ["prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz", "--size", 64]
    assert peak_mb(*words) - small < most * MEGAPIXELS


def test_white_under_strips_is_that_under_the_whole() -> None:
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (2100, 7, 4), dtype=np.uint8))
    whole = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    assert np.array_equal(np.asarray(on_white(picture)), np.asarray(whole))


def test_a_scan_beyond_what_is_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "set" / "scans").mkdir(parents=True)
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (head, b"IDAT")
    ]
    (tmp_path / "set" / "scans" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    result = command("prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz", "--size", 64)
    assert result.exit_code == 1
    assert "0.png: more than 178 megapixels, shrink it first" in result.output
