"""A generator that reads a text, on every route that draws: the same images, and the same words where it can't be read."""

import base64
import io
import json
import re
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidField
from service.generator import golden, images
from service.generator.latents import latents
from service.web.kserve.texts import from_binary
from tests.generators import Tiny
from tests.generators.texts import WORDY
from tests.service.loaded import loaded
from tests.service.web.clients.test_bento import sample
from tests.service.web.kserve.asking import ask, pixels
from tests.service.web.site import Site, refused
from tests.service.web.v1.test_addresses import led_to, versioned

TEXTS = ["a dark bag", "t-shirt", ""]
GREEN = "does not know 'green'; its words: a, bag"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    files = {"reader": WORDY.file(), "tiny": Tiny().file()}
    settings = {"engine": "onnxruntime", "threads": 1, "provenance": "on", "default_model": "reader"}
    with loaded(tmp_path_factory.mktemp("models"), files, **settings) as models:
        yield Site(models)


def drawn(seeds: range, texts: list[str]) -> np.ndarray:
    return WORDY.of(latents(seeds, 16), texts)


def assert_same(got: Any, want: np.ndarray) -> None:
    """got: uint8 [n, H, W, C] or [n, H, W]; want: [n, 1, H, W]."""
    assert golden.difference(np.asarray(got, np.uint8).reshape(want.shape), want).max <= 1


def opened(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize("text", ["a dark bag", TEXTS])
def test_samples_are_of_the_text(site: Site, text):
    answer = site.samples(seed=3, n=3, text=text, format="npy")
    assert answer.status_code == 200, answer.text
    assert_same(
        np.load(io.BytesIO(answer.content)),
        drawn(range(3, 6), text if isinstance(text, list) else [text] * 3),
    )


def test_as_many_are_drawn_as_there_are_texts_and_each_names_its_own(site: Site):
    found = site.samples(seed=3, text=TEXTS, format="json", include_z=True).json()["images"]
    assert [one["text"] for one in found] == TEXTS
    assert_same([opened(base64.b64decode(one["image"])) for one in found], drawn(range(3, 6), TEXTS))
    again = site.samples(z=[one["z"] for one in found], text=TEXTS, format="npy")
    assert_same(np.load(io.BytesIO(again.content)), drawn(range(3, 6), TEXTS))


def test_without_a_text_it_is_the_empty_one(site: Site):
    assert site.samples(seed=3).content == site.samples(seed=3, text="").content


def test_a_picture_says_what_it_is_of(site: Site):
    told = re.search(rb'ganserve:request="([^"]*)"', site.samples(seed=3, text="a dark bag").content)
    assert told is not None
    assert told[1].decode().replace("&quot;", '"') == '{"seed":3,"text":"a dark bag"}'


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"text": "a green bag"}, GREEN),
        ({"text": "bag " * 7}, "7 words; this model reads 6"),
        ({"text": ["bag"], "n": 2}, "must agree"),
        ({"text": "bag", "model": "tiny"}, "reads no text"),
    ],
)
def test_a_text_that_can_not_be_is_refused(site: Site, fields, says):
    assert says in refused(site.samples(**fields), 422, "invalid_field", "text")


def test_a_text_is_part_of_the_address(site: Site):
    first = site.get("/v1/models/reader/images/4.png?text=a+dark%20bag")
    assert led_to(first) == versioned(site, "4.png?text=a%20dark%20bag", "reader")
    answer = site.get(led_to(first))
    assert_same([opened(answer.content)], drawn(range(4, 5), ["a dark bag"]))
    assert led_to(site.get("/v1/models/reader/images/4.png?text=")) == versioned(site, "4.png", "reader")
    other = site.get("/v1/models/tiny/images/4.png?text=bag")
    assert "Allowed in the query are, once each, truncation, quality, size." in other.json()["detail"]
    assert GREEN in site.get("/v1/models/reader/images/4.png?text=green").json()["detail"]


def test_openais_prompt_is_the_text(site: Site):
    asked = {"model": "reader", "prompt": "A dark bag", "n": 2, "seed": 4}
    found = site.ask("POST", "/v1/images/generations", json=asked).json()["data"]
    want = drawn(range(4, 6), ["a dark bag"] * 2)
    assert_same([opened(base64.b64decode(one["b64_json"])) for one in found], want)
    assert [one["revised_prompt"] for one in found] == ["A dark bag"] * 2
    assert found[0]["url"].endswith("/images/4.png?text=A%20dark%20bag")
    assert_same([opened(site.get(one["url"]).content) for one in found], want)
    wrong = site.ask("POST", "/v1/images/generations", json=asked | {"prompt": "green"})
    error = wrong.json()["error"]
    assert (wrong.status_code, error["param"]) == (400, "prompt")
    assert error["message"].startswith(f"prompt: this model {GREEN}")


def test_other_clients_have_it_too(site: Site):
    want = drawn(range(4, 5), ["dark bag"])
    hugging = site.ask("POST", "/models/reader", json={"inputs": "dark bag", "parameters": {"seed": 4}})
    assert_same([opened(hugging.content)], want)
    wrong = site.ask("POST", "/models/reader", json={"inputs": "green"})
    assert (wrong.status_code, f"inputs: this model {GREEN}" in wrong.text) == (400, True)
    asked = {"instances": [{"seed": 4, "text": "dark bag"}]}
    assert_same(site.ask("POST", "/v1/models/reader:predict", json=asked).json()["predictions"], want)
    native = sample(site.front.models, model="reader", text="dark bag", seed=4)
    assert_same(json.loads(native.body), want)


def test_v2_has_a_tensor_of_texts_in_json_and_in_binary(site: Site):
    inputs = site.get("/v2/models/reader").json()["inputs"]
    assert {"name": "text", "datatype": "BYTES", "shape": [-1]} in inputs
    seed = {"name": "seed", "datatype": "INT64", "shape": [3], "data": [4, 5, 6]}
    text = {"name": "text", "datatype": "BYTES", "shape": [3]}
    want = drawn(range(4, 7), TEXTS)
    path = "/v2/models/reader/infer"
    assert_same(pixels(site.ask("POST", path, json=ask(seed, text | {"data": TEXTS}))), want)
    content = b"".join(struct.pack("<I", len(one)) + one.encode() for one in TEXTS)
    head = msgspec.json.encode(ask(seed, text | {"parameters": {"binary_data_size": len(content)}}))
    headers = {"inference-header-content-length": f"{len(head)}"}
    assert_same(pixels(site.ask("POST", path, content=head + content, headers=headers)), want)
    broken = site.ask("POST", path, content=head + content[:-1] + b"\xff", headers=headers)
    assert (broken.status_code, broken.headers["ganserve-error"]) == (400, "invalid_field")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x09\0\0\0bag", "ends within a text"),
        (b"\x01\0\0\0\xff", "codec"),
        (b"\x03\0\0\0bag", "has 1 texts"),
        (b"\x03", "buffer"),
    ],
)
def test_bytes_that_are_no_texts_are_refused(content, says):
    with pytest.raises(InvalidField, match=says):
        from_binary("text", memoryview(content), [2])


def test_a_walk_in_z_keeps_its_text(site: Site):
    asked = {"model": "reader", "seeds": [1, 2], "steps": 3, "text": "bright bag", "format": "npy"}
    found = np.load(io.BytesIO(site.ask("POST", "/v1/interpolations", json=asked).content))
    assert_same(found[[0, -1]], drawn(range(1, 3), ["bright bag"] * 2))


def test_a_sum_and_its_terms_are_of_one_text(site: Site):
    terms = [{"weight": 1, "seeds": [1]}, {"weight": 1, "seeds": [2]}]
    asked = {"terms": terms, "include_terms": True, "text": "bright bag", "model": "reader", "format": "npy"}
    found = np.load(io.BytesIO(site.ask("POST", "/v1/arithmetic", json=asked).content))
    assert_same(found[:2], drawn(range(1, 3), ["bright bag"] * 2))
    asked |= {"text": "zebra"}
    refused(site.ask("POST", "/v1/arithmetic", json=asked), 422, "invalid_field", "text")


def test_a_card_has_the_words(site: Site):
    (given,) = [one for one in site.get("/v1/models/reader").json()["inputs"] if one["role"] == "text"]
    assert (given["shape"], given["words"][:2]) == ([6], ["a", "bag"])


def test_seeds_alone_draw_on_every_other_route(site: Site):
    for route, fields in {
        "/v1/datasets": {"n": 2, "seed": 0},
        "/v1/arithmetic": {"terms": [{"weight": 1, "seeds": [1]}]},
    }.items():
        assert site.ask("POST", route, json={"model": "reader"} | fields).status_code == 200, route


def test_a_text_beside_a_picture_is_for_models_that_read_one(site: Site):
    asked = {"model": "reader", "images": [base64.b64encode(images.png(drawn(range(1), [""])[0])).decode()]}
    answer = site.ask("POST", "/v1/translations", json=asked | {"text": "bag"})
    assert "POST /v1/samples asks it" in answer.json()["detail"]
