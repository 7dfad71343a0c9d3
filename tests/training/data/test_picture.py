"""Pictures of every kind keep what they show, and what was done to them is said once per kind."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training.tiny import command
from training.data.dataset import Dataset
from training.data.formats import load

RAMP = np.linspace(0, 1, 28 * 28).reshape(28, 28)
GREYS = np.rint(RAMP * 255).astype(np.uint8)


def folder_of(path: Path, *pictures: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    """All in one class folder of two: a class of the same beside it."""
    for name in ("a", "b"):
        (path / name).mkdir(parents=True)
        for i, picture in enumerate(pictures):
            picture.save(path / name / f"{i}{suffix}", **options)
    return path


def first(dataset: Dataset) -> np.ndarray:
    return dataset.images[0]


@pytest.mark.parametrize(
    ("pixels", "suffix", "says"),
    [
        (np.rint(RAMP * 65535).astype(np.uint16), ".png", "16-bit grey, of which 0 is black and 65,535 white: 2"),
        (np.rint(RAMP * 4095).astype(np.uint16), ".png", "16-bit grey, of which 0 is black and 4,095 white: 2"),
        (np.rint(RAMP * 4095).astype(np.uint16), ".tif", "16-bit grey, of which 0 is black and 4,095 white: 2"),
        (np.rint(RAMP * 3000 - 1000).astype(np.int32), ".tif", "integer grey, of which -1,000 is black and 2,000 white: 2"),
        (RAMP.astype(np.float32), ".tif", "floating-point grey, of which 0 is black and 1 white: 2"),
        ((RAMP * 2 - 1).astype(np.float32), ".tiff", "floating-point grey, of which -1 is black and 1 white: 2"),
        ((RAMP * 7e4).astype(np.float32), ".tif", "floating-point grey, of which 0 is black and 70,000 white: 2"),
    ],
)  # fmt: skip
def test_deep_pictures_are_scaled_by_their_real_range(tmp_path: Path, pixels, suffix: str, says: str) -> None:
    dataset = load(folder_of(tmp_path / "set", Image.fromarray(pixels), suffix=suffix))
    assert np.abs(first(dataset)[0].astype(int) - GREYS).max() <= 1
    assert any(note.startswith(says) for note in dataset.notes), dataset.notes


def test_the_range_is_that_of_all_pictures_together(tmp_path: Path) -> None:
    dark, light = (Image.fromarray(np.full((28, 28), level, np.uint16)) for level in (1024, 4095))
    dataset = load(folder_of(tmp_path / "set", dark, light, light))
    assert {int(level) for level in np.unique(dataset.images)} == {64, 255}


def test_deep_colour_is_read_in_its_upper_byte_or_refused(tmp_path: Path) -> None:
    files = {"full": sixteen_bit_colour(255), "twelve bits": sixteen_bit_colour(15)}
    for name, content in files.items():
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            (tmp_path / name / label / "0.png").write_bytes(content)
    full = load(tmp_path / "full")
    assert first(full).max() == 255
    assert any(note.startswith("16-bit colour, read in 8 bits: 2") for note in full.notes)
    refused = command("prepare", "--data", tmp_path / "twelve bits", "--out", tmp_path / "out.npz")
    assert refused.exit_code == 1
    assert "16-bit colour that ends at 15 of 255 levels: store it in 8 bits" in refused.output


def sixteen_bit_colour(high: int) -> bytes:
    """A PNG whose pixels' upper bytes go up to `high`; Pillow writes none."""
    upper = np.rint(RAMP * high).astype(np.uint8)
    pixels = np.stack([upper, upper, upper[::-1]], axis=2)
    rows = np.zeros((28, 1 + 28 * 6), np.uint8)
    rows[:, 1::2] = pixels.reshape(28, -1)
    return png(16, 2, rows.tobytes())


def png(bits: int, colour: int, rows: bytes, key: bytes = b"") -> bytes:
    """28x28. rows: each behind its byte of no filter. key: the tRNS chunk."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 28, 28, bits, colour, 0, 0, 0)),
        *([(b"tRNS", key)] if key else []),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def in_colour() -> Image.Image:
    return Image.fromarray(np.stack([GREYS, GREYS[::-1], GREYS.T], axis=2))


def see_through(mode: str) -> Image.Image:
    picture = in_colour().convert(mode)
    picture.putalpha(Image.fromarray(np.where(RAMP < 0.5, 0, 255).astype(np.uint8)))
    return picture


def palette() -> Image.Image:
    picture = Image.new("P", (28, 28), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    return picture


@pytest.mark.parametrize(
    ("picture", "suffix", "options", "top", "says"),
    [
        (see_through("RGB"), ".png", {}, (255, 255, 255), "with transparency, laid on white: 2"),
        (see_through("L"), ".png", {}, (255,), "with transparency, laid on white: 2"),
        (Image.new("L", (28, 28), 7), ".png", {"transparency": 7}, (255,), "with transparency, laid on white: 2"),
        (palette(), ".png", {"transparency": bytes([255, 0])}, (255,), "with transparency, laid on white: 2"),
        (palette(), ".gif", {}, (10, 20, 30), "with a palette, turned to colour: 2"),
        (Image.new("CMYK", (28, 28), (0, 255, 255, 0)), ".tif", {}, (255, 0, 0), "CMYK, turned to RGB: 2"),
        (Image.new("CMYK", (28, 28), (0, 255, 255, 0)), ".jpg", {}, (254, 0, 0), "CMYK, turned to RGB: 2"),
        (Image.new("1", (28, 28), 1), ".bmp", {}, (255,), "of black and white alone: 2"),
        (Image.new("RGB", (28, 28), (9, 9, 9)), ".ppm", {}, (9,), "grey, though stored as colour: 2"),
        (Image.new("RGB", (28, 28), (9, 8, 9)), ".tga", {}, (9, 8, 9), None),
        (Image.new("RGB", (28, 28), (9, 8, 9)), ".WEBP", {"lossless": True}, (9, 8, 9), None),
        (Image.new("RGB", (28, 28), (9, 9, 9)), ".jfif", {"format": "JPEG"}, (9,), "grey, though stored as colour: 2"),
        (Image.new("L", (28, 28), 9), ".gif", {"save_all": True, "append_images": [Image.new("L", (28, 28), 90)]}, (9,),
         "with several frames, of which the first is read: 2"),
        (Image.new("RGB", (28, 28), (9, 8, 9)), ".mpo",
         {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (28, 28))]}, None, None),
    ],
    ids=["RGBA", "LA", "L", "P alpha", "P", "CMYK", "Adobe's CMYK", "1", "RGB", "TGA", "WebP", "JFIF", "GIF", "MPO"],
)  # fmt: skip
def test_pictures_of_every_mode(
    tmp_path: Path, picture, suffix: str, options: dict, top, says: str | None
) -> None:
    folder = folder_of(tmp_path / "set", picture, suffix=suffix, **options)
    if suffix == ".mpo":
        for file in folder.rglob("*.mpo"):
            file.rename(file.with_suffix(".jpg"))
        top, says = (8, 8, 8), "with several frames, of which the first is read: 2"
    dataset = load(folder)
    corner = first(dataset)[:, 0, 0].tolist()
    assert len(corner) == len(top) or suffix == ".mpo"
    assert np.abs(np.subtract(corner, top[: len(corner)])).max() <= 2
    assert says is None or any(note.startswith(says) for note in dataset.notes), dataset.notes
    assert says or dataset.notes == ()


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key", "others"),
    [
        (16, 0, [0, 300, 9999, 65535], [300], {0, 39, 255}),
        (16, 2, [0, 0, 0, 300, 5, 6, 9999, 0, 0, 65535, 0, 0], [300, 5, 6], {0, 39, 255}),
        (4, 0, [0, 3, 5, 15], [3], {0, 85, 255}),
        (2, 0, [0, 1, 2, 3], [1], {0, 170, 255}),
    ],
)
def test_the_level_that_a_png_has_for_transparent_lies_on_white(
    tmp_path: Path, bits: int, colour: int, row: list[int], key: list[int], others: set[int]
) -> None:
    numbers = "".join(f"{number:0{bits}b}" for number in row * 7)
    line = b"\0" + int(numbers, 2).to_bytes(len(numbers) // 8, "big")
    content = png(bits, colour, line * 28, np.array(key, ">u2").tobytes())
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "0.png").write_bytes(content)
    dataset = load(tmp_path / "set")
    assert {*first(dataset)[0, 0].tolist()} == others
    assert (first(dataset)[:, :, 1::4] == 255).all()
    assert any(note.startswith("with transparency, laid on white: 2") for note in dataset.notes)


def test_a_picture_lying_down_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    dataset = load(folder_of(tmp_path / "set", Image.fromarray(GREYS), exif=exif))
    assert np.array_equal(first(dataset)[0], np.rot90(GREYS, -1))
    assert any(note.startswith("turned upright, as their EXIF says: 2") for note in dataset.notes)


def test_cropped_and_enlarged_pictures_are_counted(tmp_path: Path) -> None:
    wide, small, fit = (Image.new("L", size, 99) for size in ((90, 40), (20, 20), (32, 32)))
    folder = folder_of(tmp_path / "set", wide, small, fit)
    result = command("prepare", "--data", folder, "--out", tmp_path / "out.npz", "--size", 32)
    assert "cropped to their centred square: 2 (a/0.png, b/0.png)" in result.output
    assert "smaller than 32x32, enlarged: 2 (a/1.png, b/1.png)" in result.output


def test_everything_left_out_is_counted_and_named_in_one_go(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", *[Image.fromarray(GREYS)] * 4)
    whole = (folder / "a" / "0.png").read_bytes()
    jpeg = io.BytesIO()
    Image.fromarray(GREYS).save(jpeg, "JPEG", progressive=True)
    (folder / "a" / "empty.png").touch()
    (folder / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "cut.jpg").write_bytes(jpeg.getvalue()[:300])
    (folder / "b" / "text.png").write_text("no picture")
    (folder / "b" / "phone.HEIC").write_bytes(b"ftypheic")
    (folder / "b" / "notes").write_text("no suffix")
    (folder / "b" / "gone.png").symlink_to("nowhere")
    (folder / "a" / "more" / "still").mkdir(parents=True)
    (folder / "a" / "more" / "still" / "5.png").write_bytes(whole)
    # Of systems, and a way round.
    for junk in (".DS_Store", "Thumbs.db", "__MACOSX/a/._0.png", ".hidden/1.png"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(b"junk")
    (folder / "b" / "round").symlink_to(folder)

    result = command("prepare", "--data", folder, "--out", tmp_path / "out.npz")

    assert result.exit_code == 0, result.output
    assert "left out, can't be read as pictures: 5 (a/cut.png: " in result.output
    for name in ("a/empty.png: empty", "b/cut.jpg", "b/gone.png: empty", "b/text.png"):
        assert name in result.output
    assert "left out, .HEIC, which is no picture's: 1 (b/phone.HEIC)" in result.output
    assert "left out, no suffix, which is no picture's: 1 (b/notes)" in result.output
    assert "in a folder within a class's, read as of that class: 1 (a/more/still/5.png)" in result.output
    assert "junk" not in result.output
    packed = load(tmp_path / "out.npz")
    assert len(packed.images) + len(packed.test_images) == 9


def test_a_folder_of_nothing_that_is_read_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "1.heic").write_bytes(b"ftypheic")
    result = command("prepare", "--data", tmp_path / "set", "--out", tmp_path / "out.npz")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "holds no images" in result.output
    assert "left out, .heic, which is no picture's: 1 (cat/1.heic)" in result.output
