from pathlib import Path

import numpy as np
from PIL import Image

from training.data.image_folder import read_image


def test_alpha_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png", None) == 255).all()


def test_transparent_colour_of_a_palette_lies_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "palette.png", transparency=bytes([255, 0]))
    assert (read_image(tmp_path / "palette.png", None) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png", None)
    assert image.shape == (1, 4, 4)
    assert (image == 0x80).all()


def test_picture_lying_down_is_put_upright(tmp_path: Path) -> None:
    picture = Image.new("L", (4, 2))
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise.
    picture.save(tmp_path / "lying.png", exif=exif)
    image = read_image(tmp_path / "lying.png", None)
    assert image.shape == (1, 4, 2)
    assert image[0, 0, 1] == 255


def test_grey_stays_one_channel_and_colour_three(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "grey.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    assert read_image(tmp_path / "grey.png", None).shape == (1, 4, 4)
    assert read_image(tmp_path / "colour.png", 28).shape == (3, 28, 28)
