import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import ContractError
from service.generator import images


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


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_near_the_pixels_and_nearer_and_larger_at_more_quality(channels):
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8), (channels, 64, 64))
    errors, sizes = [], []
    for quality in (0, 50, 100):
        file = images.jpeg(ramp, quality)
        with Image.open(io.BytesIO(file)) as read:
            assert (read.format, read.mode, read.size) == ("JPEG", "L" if channels == 1 else "RGB", (64, 64))
            pixels = np.atleast_3d(np.asarray(read)).transpose(2, 0, 1)
        errors.append(np.abs(pixels.astype(int) - ramp).max())
        sizes.append(len(file))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] <= 2
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("channels", [1, 3])
def test_whole_factors_repeat_pixels(channels):
    image = random_images(channels, 4, 6)
    large = images.resize(image, 12, 12)
    assert large.shape == (channels, 12, 12)
    for y in range(3):
        for x in range(2):
            np.testing.assert_array_equal(large[:, y::3, x::2], image)
    np.testing.assert_array_equal(images.resize(image, 4, 6), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(10, 15), (3, 4), (1, 1), (64, 96), (5, 12)])
def test_other_factors_are_smooth_and_keep_flat_areas_flat(channels, height, width):
    flat = np.full((channels, 9, 9), 77, np.uint8)
    np.testing.assert_array_equal(images.resize(flat, height, width), np.full((channels, height, width), 77))
    ramp = np.broadcast_to(np.arange(0, 180, 20, dtype=np.uint8), (channels, 9, 9))
    rows = images.resize(ramp, height, width).astype(int)
    assert (np.diff(rows, axis=2)[:, :, 1:-1] >= 0).all()
    assert (rows == rows[:, :1]).all()


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


def test_a_strip_is_one_row():
    pixels = random_images(7, 3, 2, 5)
    np.testing.assert_array_equal(images.strip(pixels), np.concatenate(list(pixels), axis=2))


def frames_of(file: bytes) -> tuple[list[np.ndarray], list[int]]:
    """Every frame of a GIF as it is shown, uint8 [H, W, 3], and its milliseconds."""
    with Image.open(io.BytesIO(file), formats=["GIF"]) as animation:
        assert animation.info["loop"] == 0, "for ever"
        frames, milliseconds = [], []
        for i in range(animation.n_frames):  # pyright: ignore[reportAttributeAccessIssue]
            animation.seek(i)
            frames.append(np.asarray(animation.convert("RGB")))
            milliseconds.append(animation.info["duration"])
        return frames, milliseconds


@pytest.mark.parametrize("levels", [2, 100, 256])
def test_a_grey_gif_keeps_every_pixel_of_every_frame(levels):
    pixels = np.random.default_rng(0).integers(0, levels, (9, 1, 20, 30), np.uint8)
    pixels[4, :, 5:] = pixels[3, :, 5:]  # a frame that is written in part
    frames, milliseconds = frames_of(images.gif(pixels, 80))
    assert milliseconds == [80] * 9
    for frame, image in zip(frames, pixels, strict=True):
        np.testing.assert_array_equal(frame, image[0][..., None].repeat(3, axis=2))


def test_a_colour_gif_is_near_its_pictures():
    ramp = np.linspace(0, 200, 32, dtype=np.uint8)
    picture = np.stack([np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32)), np.full((32, 32), 90)])
    pixels = np.stack([picture + 5 * i for i in range(6)]).astype(np.uint8)
    frames, _ = frames_of(images.gif(pixels, 80))
    for frame, image in zip(frames, pixels, strict=True):
        assert np.abs(frame.astype(int) - image.transpose(1, 2, 0)).mean() < 6


def test_a_gif_of_equal_images_shows_one_for_longer():
    pixels = random_images(4, 1, 8, 8)[[0, 0, 0, 1]]
    frames, milliseconds = frames_of(images.gif(pixels, 20))
    assert (len(frames), milliseconds) == (2, [60, 20])
    assert images.gif(pixels[:3], 20)[:6] in (b"GIF87a", b"GIF89a")


@pytest.mark.parametrize(("asked", "shown"), [(20, 20), (84, 80), (86, 90), (1000, 1000)])
def test_frames_of_a_gif_last_hundredths_of_a_second(asked, shown):
    assert frames_of(images.gif(random_images(2, 3, 8, 8), asked))[1] == [shown] * 2


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
