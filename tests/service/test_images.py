import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service import images
from service.errors import ContractError


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 9, 28, 64])  # stored where it fits a packet, deflated where not
def test_png_keeps_every_pixel(channels, side):
    image = random_images(channels, 5, side)
    np.testing.assert_array_equal(images.decode(images.png(image)), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_keeps_every_pixel(channels):
    image = random_images(channels, 5, 9)
    with Image.open(io.BytesIO(images.webp(image))) as read:
        pixels = np.asarray(read.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, np.broadcast_to(image, (3, 5, 9)))


def test_the_same_image_gives_the_same_bytes():
    image = random_images(3, 16, 16)
    for encode in (images.png, images.webp):
        assert encode(image) == encode(np.asfortranarray(image))


def test_npy_is_channels_last_and_needs_no_pickle():
    pixels = random_images(3, 1, 4, 6)
    read = np.load(io.BytesIO(images.npy(pixels)), allow_pickle=False)
    assert (read.dtype, read.shape) == (np.uint8, (3, 4, 6, 1))
    np.testing.assert_array_equal(read.transpose(0, 3, 1, 2), pixels)


@given(st.integers(1, 30), st.one_of(st.none(), st.integers(1, 8)))
def test_every_image_has_its_place_in_the_grid_and_the_rest_is_white(count, columns):
    pixels = random_images(count, 1, 2, 3)
    sheet = images.grid(pixels, columns)
    width = sheet.shape[2] // 3
    cells = [
        sheet[:, y : y + 2, x : x + 3]
        for y in range(0, sheet.shape[1], 2)
        for x in range(0, sheet.shape[2], 3)
    ]
    assert width == (columns or int(np.ceil(np.sqrt(count))))
    np.testing.assert_array_equal(np.stack(cells[:count]), pixels)
    assert all((cell == 255).all() for cell in cells[count:])
    assert len(cells) - count < width


def test_a_palette_png_is_read_as_its_colours():
    buffer = io.BytesIO()
    Image.new("P", (4, 4), 1).save(buffer, "PNG")
    assert images.decode(buffer.getvalue()).shape == (3, 4, 4)


@pytest.mark.parametrize("file", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_what_is_no_png_is_refused(file):
    with pytest.raises(ContractError, match="not a PNG"):
        images.decode(file)


def test_a_truncated_png_is_refused():
    file = images.png(random_images(1, 64, 64))
    with pytest.raises(ContractError, match="not a PNG"):
        images.decode(file[: len(file) // 2])


def test_a_png_that_would_fill_the_memory_is_refused():
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    with pytest.raises(ContractError, match="not a PNG"):
        images.decode(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
