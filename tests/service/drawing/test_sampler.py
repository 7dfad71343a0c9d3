import asyncio
import base64
import io
import json
import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.drawing.sampler import Encoding, SampleRequest, label_index, resolve, sample
from service.errors import InvalidField
from service.generator import images
from service.generator.latents import MAX_SEED, latents, rows_of, truncate
from tests.generators import CLASSES, Tiny
from tests.service.loaded import loaded

TINY = Tiny(z_dim=4)
BARE = Tiny(z_dim=4, classes=None, image=(3, 8, 8))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    files = {"tiny": TINY.file(), "bare": BARE.file()}
    with loaded(tmp_path_factory.mktemp("models"), files, threads=2) as models:
        yield models


def draw(models, name="tiny", **request) -> Any:
    return resolve(msgspec.convert(request, SampleRequest), models[name], max_images=100)


def draw_bytes(models, format: Any = "npy", include_z=False, name="tiny", **request):
    work = sample(draw(models, name, **request), Encoding(format, None, include_z), time.monotonic() + 30)
    return asyncio.run(work)


def pixels(models, **request):
    return np.load(io.BytesIO(draw_bytes(models, **request)), allow_pickle=False).transpose(0, 3, 1, 2)


def test_image_i_of_seed_s_has_the_seed_s_plus_i_and_its_class(models):
    drawn = draw(models, seed=17, n=5)
    assert list(drawn.seeds) == [17, 18, 19, 20, 21]
    assert drawn.label == [7, 8, 9, 0, 1]
    np.testing.assert_array_equal(rows_of([drawn.z]), latents(range(17, 22), 4))


def test_pictures_are_those_of_the_network(models):
    got = pixels(models, seed=1, n=20, truncation=0.5)
    z = truncate(latents(range(1, 21), 4), 0.5)
    levels = np.abs(got.astype(int) - TINY.forward(z, np.arange(1, 21) % 10))
    assert levels.max() <= 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, MAX_SEED - 100), st.integers(1, 40), st.data())
def test_any_image_of_a_request_can_be_asked_for_alone(models, seed, n, data):
    i = data.draw(st.integers(0, n - 1))
    together = pixels(models, seed=seed, n=n)
    np.testing.assert_array_equal(pixels(models, seed=seed + i)[0], together[i])


def test_without_a_seed_one_is_drawn_below_2_to_the_32(models):
    drawn = [draw(models, n=7).seeds for _ in range(50)]
    assert len({seeds[0] for seeds in drawn}) == 50
    assert all(seeds[0] >= 0 and seeds[-1] < 2**32 for seeds in drawn)


def test_a_drawn_seed_never_reaches_past_2_to_the_32(models, monkeypatch):
    monkeypatch.setattr("service.drawing.sampler.secrets.randbits", lambda bits: 2**bits - 1)
    seeds = draw(models, n=7).seeds
    assert (len(seeds), seeds[-1]) == (7, 2**32 - 1)


def test_the_last_seed_is_2_to_the_53_minus_1_and_nothing_wraps(models):
    assert draw(models, seed=MAX_SEED).seeds[-1] == MAX_SEED
    assert draw(models, seed=MAX_SEED - 4, n=5).seeds[-1] == MAX_SEED
    with pytest.raises(InvalidField, match=f"at most {MAX_SEED}") as caught:
        draw(models, seed=MAX_SEED - 4, n=6)
    assert caught.value.field == "seed"


@pytest.mark.parametrize("label", ["T-shirt/top", "t-shirt/TOP", "t-shirt-top", " T-Shirt-Top ", "0", 0])
def test_a_class_has_a_name_in_any_case_a_slug_and_an_index(models, label):
    assert label_index(label, models["tiny"].contract) == 0
    assert draw(models, label=label, n=3).label == [0, 0, 0]


@pytest.mark.parametrize(
    "label", ["", "shoe", "10", "-1", "²", "1.0", 10, -1, 10**30, "9" * 5000, "x" * 5000, "\ud800"]
)
def test_what_is_no_class_is_refused_with_the_classes_that_are(models, label):
    with pytest.raises(
        InvalidField, match="allowed are the indexes 0 to 9 and the names T-shirt/top, "
    ) as caught:
        label_index(label, models["tiny"].contract)
    assert len(str(caught.value)) < 1000


def test_a_list_of_labels_says_how_many(models):
    assert draw(models, label=["Bag", 3, "coat"]).label == [8, 3, 4]
    assert draw(models, label=["Bag", 3], n=2).label == [8, 3]


def test_an_unconditional_model_takes_no_label(models):
    assert draw(models, "bare", n=3).label is None
    with pytest.raises(InvalidField, match="unconditional") as caught:
        draw(models, "bare", label=0)
    assert caught.value.field == "label"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"n": 101}, "n"),
        ({"label": []}, "label"),
        ({"label": [0] * 101}, "label"),
        ({"label": [0, 1], "n": 3}, "label"),
        ({"z": []}, "z"),
        ({"z": [[0] * 4] * 101}, "z"),
        ({"z": [[0] * 4], "n": 2}, "z"),
        ({"z": [[0] * 4], "seed": 1}, "z"),
        ({"z": [[0] * 3]}, "z"),
        ({"z": [[0] * 4, [0] * 5]}, "z"),
        ({"z": [[]]}, "z"),
        ({"z": [[0, 0, 0, 1e39]]}, "z"),
        ({"z": [[0, 0, 0, float("nan")]]}, "z"),
        ({"z": [[0, 0, 0, float("-inf")]]}, "z"),
    ],
)
def test_fields_that_contradict_each_other_or_the_model_are_named(models, request_, field):
    with pytest.raises(InvalidField) as caught:
        draw(models, **request_)
    assert caught.value.field == field


def test_z_takes_the_place_of_a_seed(models):
    z = latents([5, 6], 4)
    given_z = draw(models, z=z.tolist(), label="Bag")
    assert given_z.seeds is None
    np.testing.assert_array_equal(given_z.z, z)
    np.testing.assert_array_equal(
        pixels(models, z=z.tolist(), label="Bag"), pixels(models, seed=5, n=2, label="Bag")
    )


def test_z_without_a_label_has_the_classes_in_turn(models):
    assert draw(models, z=[[0] * 4] * 12).label == [*range(10), 0, 1]


def test_every_format_shows_the_same_pixels(models):
    whole = pixels(models, seed=3, n=5)
    for format, convert in (("png", "L"), ("webp", "L")):
        with Image.open(io.BytesIO(draw_bytes(models, format, seed=3, n=5))) as image:
            np.testing.assert_array_equal(np.asarray(image.convert(convert)), images.grid(whole)[0])
        with Image.open(io.BytesIO(draw_bytes(models, format, seed=3))) as image:
            np.testing.assert_array_equal(np.asarray(image.convert(convert)), whole[0, 0])
    reply = json.loads(draw_bytes(models, "json", seed=3, n=5))
    assert [one["seed"] for one in reply["images"]] == [3, 4, 5, 6, 7]
    assert [one["label"] for one in reply["images"]] == [CLASSES[i] for i in (3, 4, 5, 6, 7)]
    for i, one in enumerate(reply["images"]):
        np.testing.assert_array_equal(images.decode(base64.b64decode(one["image"])), whole[i])


@pytest.mark.parametrize("name", ["tiny", "bare"])
@pytest.mark.parametrize("format", ["png", "webp", "npy", "json"])
def test_the_same_request_gives_the_same_bytes(models, name, format):
    ask = [draw_bytes(models, format, True, name, seed=8, n=3, truncation=0.3) for _ in range(3)]
    assert len(set(ask)) == 1


def test_the_z_that_is_returned_gives_the_same_image_when_it_is_sent_back(models):
    first = json.loads(draw_bytes(models, "json", True, seed=8, n=3, truncation=0.3))["images"]
    again = json.loads(
        draw_bytes(models, "json", True, z=[one["z"] for one in first], label=[one["label"] for one in first])
    )["images"]
    assert [one["image"] for one in again] == [one["image"] for one in first]
    assert [one["z"] for one in again] == [one["z"] for one in first]
    assert all(one["seed"] is None for one in again)
    assert "z" not in json.loads(draw_bytes(models, "json", seed=8))["images"][0]
