import base64
import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.web.clients.generations import PATH, generate, generated


def pictures(document: dict[str, Any]) -> list[np.ndarray]:
    files = [base64.b64decode(one["b64_json"]) for one in document["data"]]
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def test_a_prompt_gets_the_images_that_samples_gives_for_its_class(site):
    response = generate(site, model="tiny", prompt="a photo of a sneaker", n=3, seed=5, truncation=0.5)
    document = response.json()
    assert abs(document["created"] - time.time()) < 60
    assert (document["size"], document["output_format"]) == ("8x8", "png")
    assert (document["model"], document["version"]) == ("tiny", site.front.models["tiny"].version)
    assert [one["seed"] for one in document["data"]] == [5, 6, 7]
    assert {one["revised_prompt"] for one in document["data"]} == {"Sneaker"}
    for one in document["data"]:
        alone = site.samples(label="Sneaker", seed=one["seed"], truncation=0.5).content
        assert base64.b64decode(one["b64_json"]) == alone
    assert (response.headers["ganserve-seeds"], response.headers["ganserve-labels"]) == ("5-7", "7")
    assert "forward;dur=" in response.headers["server-timing"]


def test_the_least_is_one_image_of_a_drawn_seed(site):
    (one,) = generated(site, prompt="bag")["data"]
    assert one["seed"] < 2**32
    assert generated(site, prompt="bag", seed=one["seed"])["data"] == [one]


def test_null_is_as_good_as_absent(site):
    nothing = dict.fromkeys(
        ("model", "n", "size", "response_format", "output_format", "output_compression", "truncation", "timeout",
         "stream", "quality", "style", "background", "moderation", "complexity", "user", "safety_identifier"),
    )  # fmt: skip
    assert (
        generated(site, prompt="bag", seed=1, **nothing)["data"]
        == generated(site, prompt="bag", seed=1)["data"]
    )
    assert generated(site, prompt="bag", seed=None)["data"]


def test_what_has_no_meaning_here_is_taken_and_ignored(site):
    ignored = {"quality": "hd", "style": "vivid", "background": "opaque", "moderation": "low", "user": "me"}
    given = generated(site, prompt="bag", seed=1, stream=False, **ignored)
    assert given["data"] == generated(site, prompt="bag", seed=1)["data"]


def test_keys_are_taken_and_ignored(site):
    response = site.ask("POST", PATH, json={"prompt": "bag"}, headers={"authorization": "Bearer sk-none"})
    assert response.status_code == 200


@pytest.mark.parametrize("fields", [{}, {"prompt": ""}, {"prompt": None}, {"prompt": "a dog and a cat"}])
def test_an_unconditional_model_ignores_the_prompt(site, fields):
    (one,) = generated(site, model="bare", seed=4, **fields)["data"]
    assert "revised_prompt" not in one
    assert base64.b64decode(one["b64_json"]) == site.samples(model="bare", seed=4).content


@pytest.mark.parametrize("size", ["8x8", "auto"])
def test_the_size_of_the_generator_has_its_own_pixels(site, size):
    assert (
        generated(site, prompt="bag", seed=3, size=size)["data"]
        == generated(site, prompt="bag", seed=3)["data"]
    )


@pytest.mark.parametrize("model", ["tiny", "colour"])
def test_whole_factors_repeat_pixels_and_others_are_smooth(site, model):
    (small,) = pictures(generated(site, model=model, prompt="bag", seed=3))
    large = generated(site, model=model, prompt="bag", seed=3, size="256x256")
    assert large["size"] == "256x256"
    np.testing.assert_array_equal(pictures(large)[0], small.repeat(32, axis=0).repeat(32, axis=1))
    (odd,) = pictures(generated(site, model=model, prompt="bag", seed=3, size="20x20"))
    wanted = Image.fromarray(small).resize((20, 20), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(odd, np.asarray(wanted))


def test_every_format_is_one_that_browsers_read(site):
    (png,) = pictures(generated(site, model="colour", prompt="bag", seed=3, size="64x64"))
    for format in ("webp", "jpeg"):
        document = generated(site, model="colour", prompt="bag", seed=3, size="64x64", output_format=format)
        assert document["output_format"] == format
        file = base64.b64decode(document["data"][0]["b64_json"])
        with Image.open(io.BytesIO(file)) as image:
            assert (image.format, image.size) == (format.upper(), (64, 64))
        levels = np.abs(pictures(document)[0].astype(int) - png)
        assert levels.max() == 0 if format == "webp" else levels.mean() < 2


def test_compression_makes_a_jpeg_smaller(site):
    sizes = [
        len(generated(site, prompt="bag", seed=3, size="256x256", output_format="jpeg", output_compression=quality)
            ["data"][0]["b64_json"])
        for quality in (0, 50, 100)
    ]  # fmt: skip
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
