"""Pictures of strangers: what they are read as, and what is refused before it costs anything."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from service.drawing import uploads
from service.drawing.sizes import Size
from service.drawing.uploads import pictures
from service.errors import InvalidField
from service.generator.contract import ImageShape

GREY, RGB, RGBA = ImageShape(1, 8, 8), ImageShape(3, 8, 8), ImageShape(4, 8, 8)
NOISE = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)


def saved(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def read(file: bytes, shape: ImageShape = RGB) -> np.ndarray:
    """[H, W, C]."""
    return pictures([file], shape).pixels[0].transpose(1, 2, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_zeros(width: int, height: int, most_bytes: int = 2**22) -> bytes:
    """A PNG that says it is so large; its pixels are as many zeros as `most_bytes` inflated."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    zeros = zlib.compress(bytes(min(most_bytes, (width + 1) * height)), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")


def upright() -> np.ndarray:
    """RGB with another colour in each corner."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :4], image[:4, 4:], image[4:, :4] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return image


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_lossless_picture_of_the_models_own_shape_keeps_every_pixel(form):
    rgb = NOISE[..., :3]
    np.testing.assert_array_equal(read(saved(rgb, form, lossless=True)), rgb)
    np.testing.assert_array_equal(read(saved(NOISE, form, lossless=True, exact=True), RGBA), NOISE)


def test_a_jpeg_is_read_and_grey_becomes_colour_and_colour_grey():
    flat = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    assert np.abs(read(saved(flat, "JPEG", quality=95)).astype(int) - flat).max() <= 4
    luma = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert np.abs(read(saved(flat), GREY).astype(int) - luma).max() <= 1
    grey = read(saved(NOISE[..., 0]))
    np.testing.assert_array_equal(grey, NOISE[..., :1].repeat(3, axis=2))


def test_palettes_black_and_white_and_cmyk_are_read_as_they_look():
    palette = Image.fromarray(upright()).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(read(saved(palette)), upright())
    bits = Image.fromarray(NOISE[..., 0]).convert("1")
    np.testing.assert_array_equal(read(saved(bits), GREY)[..., 0], np.asarray(bits) * np.uint8(255))
    cmyk = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(read(cmyk).astype(int) - (255, 0, 0)).max() <= 6


def test_of_16_bits_the_upper_8_are_taken():
    deep = (NOISE[..., 0].astype(np.uint16) << 8) + 77
    np.testing.assert_array_equal(read(saved(deep), GREY)[..., 0], NOISE[..., 0])


def test_what_is_transparent_lies_on_white_where_the_model_has_no_alpha():
    half = np.dstack([np.zeros((8, 8, 3), np.uint8), np.tile(np.array([0, 128, 255, 0], np.uint8), (8, 2))])
    want = np.tile([255, 127, 0, 255], (8, 2))
    np.testing.assert_array_equal(read(saved(half), GREY)[..., 0], want)
    np.testing.assert_array_equal(read(saved(half), RGBA)[..., 3], half[..., 3])
    index = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    assert (read(saved(index, transparency=0)) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_turned_upright_as_exif_says(orientation, form):
    image = Image.fromarray(upright().repeat(2, axis=0))
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = undo.get(orientation, uploads._TURNS.get(orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = image if turn is None else image.transpose(turn)
    lossy = {"quality": 95, "subsampling": 0} if form == "JPEG" else {"lossless": True}
    found = pictures([saved(lying, form, exif=exif, **lossy)], ImageShape(3, 16, 8))
    assert found.sizes == [Size(16, 8)]
    assert np.abs(found.pixels[0].transpose(1, 2, 0).astype(int) - np.asarray(image)).max() <= 6


def test_exif_that_is_nonsense_harms_nobody():
    for nonsense in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"MM\0*" + bytes(200), b"\xff" * 300):
        assert (read(saved(np.full((8, 8, 3), 9, np.uint8), exif=nonsense)) == 9).all()


def test_another_size_is_cropped_around_the_centre_and_scaled():
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = upright().repeat(2, axis=0).repeat(2, axis=1)
    found = pictures([saved(wide), saved(upright())], RGB)
    assert found.sizes == [Size(16, 48), Size(8, 8)]
    middle, own = found.pixels
    assert np.abs(middle.astype(int) - own).mean() < 12, "the middle third, and nothing beside it"
    assert (read(saved(np.full((1, 3000), 70, np.uint8)), GREY) == 70).all(), "one row of pixels, too"
    tall = np.zeros((40, 10), np.uint8)
    tall[10:30] = 200
    assert (pictures([saved(tall)], ImageShape(1, 4, 2)).pixels == 200).all(), "the model's ratio is kept"


def test_metadata_of_any_kind_changes_no_pixel():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 10_000, zip=True)
    with_all = saved(NOISE[..., :3], pnginfo=info, icc_profile=bytes(range(256)), dpi=(1, 1))
    np.testing.assert_array_equal(read(with_all), read(saved(NOISE[..., :3])))


STRANGERS = {
    "nothing": b"",
    "a GIF": saved(NOISE[..., 0], "GIF"),
    "a TIFF": saved(NOISE[..., :3], "TIFF"),
    "a BMP": saved(NOISE[..., :3], "BMP"),
    "an AVIF": b"\0\0\0\x1cftypavif" + bytes(64),
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "an SVG that loads a file": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
    "a PDF": b"%PDF-1.7\n1 0 obj",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
    "a script": b"push graphic-context\nimage over 0,0 0,0 'https://example.com/x'\npop graphic-context",
    "HTML": b"<html><body>PNG</body></html>",
    "a pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00",
    "a WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "a path": b"/etc/passwd",
    "a PNG after something else": b"\n" + saved(NOISE[..., 0]),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_anything_but_png_jpeg_and_webp_is_refused_by_its_content(kind):
    with pytest.raises(InvalidField, match=r"^The picture is no PNG, JPEG or WebP file\.$") as refused:
        pictures([STRANGERS[kind]], RGB)
    assert refused.value.field == "images"


def test_of_several_pictures_the_bad_one_is_named():
    good = saved(NOISE[..., :3])
    with pytest.raises(InvalidField) as refused:
        pictures([good, good, b"GIF89a"], RGB)
    assert refused.value.field == "images[2]"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_was_cut_off_or_scrambled_is_refused_or_read_and_breaks_nothing(form):
    whole = saved(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8), form)
    for length in [*range(1, 60), *range(60, len(whole) - 20, 97)]:
        with pytest.raises(InvalidField):
            pictures([whole[:length]], RGB)
    random = np.random.default_rng(2)
    for _ in range(200):
        scrambled = bytearray(whole)
        for at in random.integers(0, len(whole), 5):
            scrambled[at] = random.integers(256)
        with suppress(InvalidField):
            assert pictures([bytes(scrambled)], RGB).pixels.shape == (1, 3, 8, 8)


TOO_LARGE = [(2**16, 2**16), (2**31 - 1, 2**31 - 1), (4097, 4096), (10_000, 10_000), (2**20, 17)]


@pytest.mark.parametrize("size", TOO_LARGE)
def test_a_picture_that_says_it_is_too_large_is_not_decoded(size):
    with pytest.raises(InvalidField, match="16777216 pixels"):  # of one that was decoded, that it is damaged
        pictures([png_of_zeros(*size, most_bytes=2**10)], RGB)


@pytest.mark.parametrize("size", [(0, 8), (8, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(size):
    with pytest.raises(InvalidField):
        pictures([png_of_zeros(*size)], RGB)


def test_a_webp_that_says_it_is_huge_is_not_decoded():
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" + b"\xff\xff\x00"
    file = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    with pytest.raises(InvalidField):
        pictures([file], RGB)


def test_a_bomb_in_a_text_of_a_png_is_refused():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 9))
    file = saved(NOISE[..., :3])
    with pytest.raises(InvalidField, match="damaged"):
        pictures([file[:33] + text + file[33:]], RGB)


def test_pictures_that_are_too_many_pixels_together_are_refused_before_one_is_decoded():
    # 4096x4096 each, of which a decoder would find that the pixels are missing.
    large = png_of_zeros(4096, 4096, 2**10)
    with pytest.raises(InvalidField, match="together"):
        pictures([large] * 5, RGB)


def test_a_file_of_too_many_bytes_is_refused():
    with pytest.raises(InvalidField, match="bytes"):
        pictures([saved(NOISE[..., :3]) + bytes(uploads.MOST_BYTES)], RGB)


def test_a_jpeg_of_thousands_of_scans_is_refused():
    progressive = saved(NOISE[..., :3], "JPEG", progressive=True)
    assert read(progressive).shape == (8, 8, 3)
    last = progressive.rindex(b"\xff\xda")
    with pytest.raises(InvalidField, match="scans"):
        pictures([progressive[:last] + progressive[last:-2] * 1000 + progressive[-2:]], RGB)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_an_animation_is_refused(form):
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 255)]
    with pytest.raises(InvalidField, match="animation"):
        pictures([saved(frames[0], form, save_all=True, append_images=frames[1:], duration=50)], RGB)


def test_of_a_telephones_two_photographs_in_one_file_the_first_is_read():
    first, second = (Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (200, 0))
    file = saved(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(read(file).astype(int) - 200).max() <= 2


def test_thousands_of_small_pictures_are_read_in_their_order():
    files = [saved(np.full((8, 8), level % 256, np.uint8)) for level in range(256)]
    found = pictures(files * 8, GREY)
    np.testing.assert_array_equal(found.pixels[:, 0, 0, 0], np.tile(np.arange(256), 8))
