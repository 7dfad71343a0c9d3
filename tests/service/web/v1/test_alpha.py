"""A generator of four channels is served with its alpha, by every route and in every format that has one."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from service.generator import images
from service.generator.latents import latents
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site

ICONS = Tiny("icons", image=(4, 8, 8))
SEED = 3


@pytest.fixture(scope="module")
def icons(tmp_path_factory):
    files = {"icons": ICONS.file()}
    with loaded(tmp_path_factory.mktemp("models"), files, engine="onnxruntime", threads=1) as models:
        yield Site(models)


@pytest.fixture(scope="module")
def want() -> np.ndarray:
    """uint8 [H, W, 4]: the image of SEED, by NumPy."""
    image = ICONS.forward(latents([SEED], 8), np.array([SEED]))[0].transpose(1, 2, 0)
    assert np.unique(image[..., 3]).size > 10  # of many levels, also some that nearly nobody sees
    assert image[..., 3].min() < 20
    return image


def read(content: bytes, mode: str = "RGBA") -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == mode
        return np.asarray(picture)


def assert_same(got: np.ndarray, want: np.ndarray, levels: int = 1) -> None:
    """Within what ONNX Runtime and NumPy round apart."""
    assert got.shape == want.shape
    assert np.abs(got.astype(int) - want).max() <= levels


def on_white(image: np.ndarray) -> np.ndarray:
    white = Image.new("RGBA", image.shape[1::-1], "white")
    return np.asarray(Image.alpha_composite(white, Image.fromarray(image)).convert("RGB"))


def test_pictures_without_loss_have_every_level_of_alpha_and_of_the_colours_under_it(icons: Site, want):
    for format in ("png", "webp"):
        assert_same(read(icons.samples(seed=SEED, format=format).content), want)
    address = icons.ask("GET", f"/v1/models/icons/images/dress/{SEED}.webp", follow_redirects=True)
    assert_same(read(address.content), want)
    raw = icons.samples(seed=SEED, format="npy").content
    assert_same(np.load(io.BytesIO(raw), allow_pickle=False)[0], want)
    inline = icons.samples(seed=SEED, format="json").json()["images"][0]["image"]
    assert_same(read(base64.b64decode(inline)), want)


def test_avif_has_alpha_and_jpeg_and_gif_lie_on_white(icons: Site, want):
    avif = read(icons.samples(seed=SEED, format="avif", quality=100).content)
    assert_same(avif[..., 3], want[..., 3], 4)
    jpeg = read(icons.samples(seed=SEED, format="jpeg", quality=100).content, "RGB")
    assert_same(jpeg, on_white(want), 8)
    way = {"seeds": [SEED, SEED + 1], "steps": 2, "format": "gif"}
    gif = icons.ask("POST", "/v1/interpolations", json=way)
    with Image.open(io.BytesIO(gif.content)) as frames:
        assert_same(np.asarray(frames.convert("RGB")), on_white(want), 8)


def test_a_grid_is_white_and_opaque_where_no_image_is(icons: Site, want):
    sheet = read(icons.samples(seed=SEED, n=3, format="png").content)
    assert_same(sheet[:8, :8], want)
    assert (sheet[8:, 8:] == 255).all()


def test_tensors_and_lists_have_four_channels(icons: Site, want):
    seed = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [SEED]}
    (output,) = icons.ask("POST", "/v2/models/icons/infer", json={"inputs": [seed]}).json()["outputs"]
    assert output["shape"] == [1, 4, 8, 8]
    assert_same(np.reshape(output["data"], (4, 8, 8)).transpose(1, 2, 0), want)
    (told,) = icons.get("/v2/models/icons").json()["outputs"]
    assert told["shape"] == [-1, 4, 8, 8]
    predictions = icons.ask("POST", "/v1/models/icons:predict", json={"instances": [{"seed": SEED}]}).json()
    assert_same(np.array(predictions["predictions"][0]), want)


def test_another_size_keeps_what_is_clear_clear(icons: Site, want):
    asked = {"prompt": "dress", "seed": SEED, "size": "32x32", "response_format": "b64_json"}
    reply = icons.ask("POST", "/v1/images/generations", json=asked).json()
    assert_same(read(base64.b64decode(reply["data"][0]["b64_json"])), want.repeat(4, 0).repeat(4, 1))
    smaller = images.resize(want.transpose(2, 0, 1), 5, 5)
    assert smaller.shape == (4, 5, 5)
    # No colour of what is clear runs into what is seen.
    clear = np.zeros((4, 8, 8), np.uint8)
    clear[:, 4:] = np.array([255, 0, 0, 255])[:, None, None]
    clear[1, :4] = 255  # green, and not to be seen
    assert images.resize(clear, 5, 5)[1].max() == 0


def test_colours_under_what_is_clear_stay():
    image = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    image[3, :4] = 0
    for encode in (images.png, images.webp):
        np.testing.assert_array_equal(read(encode(image)).transpose(2, 0, 1), image)


def test_what_is_opaque_may_come_without_alpha_and_is_the_same():
    opaque = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    opaque[3] = 255
    np.testing.assert_array_equal(images.without_alpha(opaque), opaque[:3])
    np.testing.assert_array_equal(images.decode(images.png(opaque)), opaque)
