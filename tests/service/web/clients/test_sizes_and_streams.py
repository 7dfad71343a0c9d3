"""What OpenAI's clients ask for by default: sizes that a generator does not have, both kinds of reply, streams."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from service.drawing.sizes import nearest
from service.generator.contract import ImageShape
from tests.service.web.clients.generations import generate, generated, refused


def size_of(file: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(file)) as image:
        return image.size


def events(response: httpx.Response) -> list[tuple[str, dict]]:
    assert response.headers["content-type"] == "text/event-stream", response.text
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


@pytest.mark.parametrize(
    ("asked", "given"),
    [("1536x1024", "1024x1024"), ("8x16", "8x8"), ("1792x1024", "1024x1024"), ("2048x2048", "1024x1024"), ("3x3", "3x3")],
)  # fmt: skip
def test_a_size_that_is_not_there_is_the_nearest_one_and_the_reply_says_so(site, asked, given):
    response = generate(site, prompt="bag", size=asked)
    assert response.headers.get("ganserve-size") == (None if asked == given else given)
    assert response.json()["size"] == given
    (one,) = response.json()["data"]
    assert "{}x{}".format(*size_of(base64.b64decode(one["b64_json"]))) == given


@pytest.mark.parametrize(
    ("asked", "given"), [("1024x1024", "1024x512"), ("512x1024", "512x256"), ("6x3", "6x3"), ("1x1", "32x16")]
)
def test_the_nearest_size_keeps_the_aspect_ratio(asked, given):
    assert f"{nearest(asked, ImageShape(3, 16, 32))}" == given


def test_by_default_an_image_has_its_bytes_and_its_address(site):
    (one,) = generated(site, prompt="bag", seed=3, size="1024x1024", truncation=0.5)["data"]
    image = site.get(one["url"])
    assert one["url"].endswith("/bag/3.png?truncation=0.5&size=1024x1024")
    assert image.content == base64.b64decode(one["b64_json"])
    assert size_of(image.content) == (1024, 1024)
    (jpeg,) = generated(site, prompt="bag", output_format="jpeg")["data"]
    assert site.get(jpeg["url"]).content == base64.b64decode(jpeg["b64_json"])
    (asked,) = generated(site, prompt="bag", response_format="b64_json")["data"]
    assert "url" not in asked


def test_an_address_of_a_size_leads_to_its_version_and_is_cached_for_ever(site):
    first = site.get("/v1/models/tiny/images/bag/3.webp?size=64x64")
    assert first.status_code == 307
    assert first.headers["location"].endswith("/bag/3.webp?size=64x64")
    version = site.front.models["tiny"].version
    path = f"/v1/models/tiny@{version}/images/bag/3.webp"
    small, large = site.get(path), site.get(f"{path}?size=64x64")
    assert "immutable" in large.headers["cache-control"]
    assert large.headers["etag"] != small.headers["etag"]
    with Image.open(io.BytesIO(large.content)) as image:
        pixels = np.asarray(image)
    with Image.open(io.BytesIO(small.content)) as image:
        np.testing.assert_array_equal(pixels, np.asarray(image).repeat(8, axis=0).repeat(8, axis=1))


@pytest.mark.parametrize("size", ["64x32", "2048x2048", "0x0", "64", ""])
def test_an_address_has_only_sizes_that_there_are(site, size):
    version = site.front.models["tiny"].version
    response = site.get(f"/v1/models/tiny@{version}/images/bag/3.png?size={size}")
    assert (response.status_code, response.json()["field"]) == (422, "size")


def test_a_stream_has_each_image_whole_and_no_part_before_it(site):
    fields = {"prompt": "two bags", "n": 2, "seed": 5, "size": "64x64"}
    response = generate(site, **fields, stream=True, partial_images=3)
    whole = generated(site, **fields, response_format="b64_json")
    assert [name for name, _ in events(response)] == ["image_generation.completed"] * 2
    for (name, event), one in zip(events(response), whole["data"], strict=True):
        assert event["type"] == name
        assert (event["b64_json"], event["seed"], event["size"]) == (one["b64_json"], one["seed"], "64x64")
        assert event["usage"] == whole["usage"]
    assert whole["usage"]["total_tokens"] == 0
    assert response.headers["ganserve-seeds"] == "5-6"


def test_a_stream_that_cannot_begin_is_refused_as_any_request(site):
    refused(generate(site, prompt="a dog", stream=True), 400, "invalid_value", "prompt")
