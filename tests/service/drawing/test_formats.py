import io

import numpy as np
import pytest
from PIL import Image

from service.drawing import formats
from service.drawing.formats import SERIES_MEDIA_TYPES, check, effort, picture, preferred
from service.errors import InvalidField
from service.generator import images

RAMP = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8), (3, 64, 64))


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, None),
        ("", None),
        ("*/*", None),
        ("text/html", None),
        ("image/webp", "webp"),
        ("IMAGE/WEBP", "webp"),
        ("image/avif,image/webp;q=0.9,*/*;q=0.1", "avif"),
        ("image/avif;q=0.5, image/webp", "webp"),
        ("image/jpeg;q=0.50 ,image/webp;q=0.5", "jpeg"),
        ("text/html, image/*", "png"),
        ("image/png;q=0, image/*", "webp"),
        ("image/jpeg;q=0", None),
        ("*/*, image/webp", None),
        ("application/x-npy", "npy"),
        ("application/json", "json"),
        ("image/gif", None),
        ("image/webp;q=2, image/jpeg;q=x", "webp"),
        (",,;,q=1", None),
    ],
)
def test_an_accept_header_names_the_format_that_it_likes_best(accept, format):
    assert preferred(accept) == format


def test_a_way_may_be_an_animation():
    assert preferred("image/gif", tuple(SERIES_MEDIA_TYPES)) == "gif"


def test_what_this_pillow_has_not_is_refused_and_never_negotiated(monkeypatch):
    monkeypatch.setattr(images, "has_avif", lambda: False)
    preferred.cache_clear()
    assert preferred("image/avif, image/webp") == "webp"
    preferred.cache_clear()
    with pytest.raises(InvalidField, match="without avif"):
        check("avif", None, 1, 8, 8)


@pytest.mark.parametrize(("format", "kind"), [("jpeg", "JPEG"), ("avif", "AVIF")])
@pytest.mark.parametrize("channels", [1, 3])
def test_more_quality_is_nearer_to_the_pixels_and_takes_more(format, kind, channels):
    errors, sizes = [], []
    image = np.random.default_rng(0).integers(0, 256, (channels, 64, 64), np.uint8)
    for quality in (5, None, 100):
        file = picture(image, format, quality)
        with Image.open(io.BytesIO(file)) as read:
            assert (read.format, read.size) == (kind, (64, 64))
            pixels = np.asarray(read.convert("RGB")).transpose(2, 0, 1)
        errors.append(np.abs(pixels.astype(int) - image).mean())
        sizes.append(len(file))
    assert errors[0] > errors[1] > errors[2]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("format", ["png", "webp", "npy", "json", "gif"])
def test_what_is_lossless_has_no_quality(format):
    with pytest.raises(InvalidField, match="has no quality"):
        check(format, 90, 1, 8, 8)


@pytest.mark.parametrize(
    ("format", "count", "side", "row", "fits"),
    [
        ("webp", 256, 1023, False, True),
        ("webp", 256, 1024, False, False),
        ("webp", 16, 1024, True, False),
        ("jpeg", 256, 4096, False, False),
        ("jpeg", 15, 4096, True, True),
        ("avif", 8, 4096, True, True),
        ("avif", 9, 4096, True, False),
        ("gif", 256, 1024, True, True),
        ("png", 256, 4096, False, True),
    ],
)
def test_a_picture_larger_than_its_format_allows_is_refused(format, count, side, row, fits):
    if fits:
        check(format, None, count, side, side, row)
    else:
        with pytest.raises(InvalidField, match="has room for"):
            check(format, None, count, side, side, row)


def test_a_photograph_is_a_smaller_png_than_unfiltered_rows_are():
    smooth = (np.add.outer(np.arange(256), np.arange(256)) // 2 + RAMP[:1, :1, :1]).astype(np.uint8)
    noisy = smooth + np.random.default_rng(0).integers(0, 8, (3, 256, 256), np.uint8)
    file = picture(noisy, "png")
    np.testing.assert_array_equal(images.decode(file), noisy)
    assert len(file) < 0.6 * noisy.size


def test_what_only_copies_pixels_takes_no_effort():
    assert effort("npy") == 0 < effort("png") < effort("avif")
    assert set(formats.MEDIA_TYPES) == {"png", "webp", "jpeg", "avif", "npy", "json"}
