import asyncio
import base64
import io
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.generator import images
from service.generator.engines.fake import FakeEngine
from service.generator.latents import MAX_SEED
from tests.generators import CLASSES, Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site
from tests.waiting import until

PATH = "/v1/images/generations"


def generate(site: Site, **fields: Any) -> httpx.Response:
    return site.ask("POST", PATH, json=fields)


def generated(site: Site, **fields: Any) -> dict[str, Any]:
    response = generate(site, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def pictures(document: dict[str, Any]) -> list[np.ndarray]:
    files = [base64.b64decode(one["b64_json"]) for one in document["data"]]
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def refused(response: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Asserts that a reply is this error, in OpenAI's shape; returns its message."""
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error
    kind = (
        "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    )
    assert error["type"] == kind
    assert 10 < len(error["message"]) < 2500
    return error["message"]


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


def test_addresses_lead_to_the_images_and_are_cached_for_ever(site):
    document = generated(site, prompt="two t-shirts", n=2, seed=8, truncation=0.5, response_format="url")
    version = site.front.models["tiny"].version
    assert [one["url"] for one in document["data"]] == [
        f"http://site/v1/models/tiny@{version}/images/t-shirt-top/{seed}.png?truncation=0.5"
        for seed in (8, 9)
    ]
    image = site.get(document["data"][1]["url"])
    assert "immutable" in image.headers["cache-control"]
    assert image.content == site.samples(label=0, seed=9, truncation=0.5).content
    assert "b64_json" not in document["data"][0]


def test_addresses_begin_with_the_public_url_where_one_is_set(site, monkeypatch):
    behind_proxy = replace(site.front.models.settings, public_url="https://images.example.com/gan/")
    monkeypatch.setattr(site.front.models, "settings", behind_proxy)
    (one,) = generated(site, prompt="bag", seed=1, response_format="url")["data"]
    version = site.front.models["tiny"].version
    assert one["url"] == f"https://images.example.com/gan/v1/models/tiny@{version}/images/bag/1.png"


def test_a_forwarded_host_is_not_believed(site):
    headers = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    response = site.ask("POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers=headers)
    assert response.json()["data"][0]["url"].startswith("http://site/v1/")


def test_addresses_of_an_unconditional_model_and_of_webp(site):
    (one,) = generated(site, model="bare", seed=8, response_format="url", output_format="webp", size="8x8")[
        "data"
    ]
    image = site.get(one["url"])
    assert (image.status_code, image.headers["content-type"]) == (200, "image/webp")


@pytest.mark.parametrize(
    "host", ["localhost:3000", "a.b-c.example", "127.0.0.1:80", "[::1]:3000", "xn--bcher-kva.example:65535"]
)
def test_addresses_have_the_host_of_the_request(site, host):
    response = site.ask(
        "POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers={"host": host}
    )
    assert response.json()["data"][0]["url"].startswith(f"http://{host}/v1/models/tiny@")


@pytest.mark.parametrize(
    ("prefix", "path"), [("", ""), ("/", ""), ("/gan", "/gan"), ("/a/b.c~d-e/", "/a/b.c~d-e")]
)
def test_addresses_have_the_path_that_a_proxy_took_away(site, prefix, path):
    asked = {"prompt": "bag", "response_format": "url"}
    response = site.ask("POST", PATH, json=asked, headers={"x-forwarded-prefix": prefix})
    assert response.json()["data"][0]["url"].startswith(f"http://site{path}/v1/models/tiny@")


@pytest.mark.parametrize("prefix", ["gan", "//evil.example", "/a b", "/a?b", "/a#b", "/é", "/a,/b", "/a" * 9])
def test_a_prefix_that_is_no_path_gets_no_addresses(site, prefix):
    asked = {"prompt": "bag", "response_format": "url"}
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1"))]
    response = site.ask("POST", PATH, json=asked, headers=headers)
    assert "X-Forwarded-Prefix" in refused(response, 400, "invalid_value", "response_format")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a/b",
        "a@b",
        "evil.example/path",
        "a b",
        "a:b",
        "a:123456",
        "-a",
        "<script>",
        "a\\b",
        "a?b",
        "a#b",
        "é",
    ],
)
def test_a_host_that_is_none_gets_no_addresses(site, host):
    headers = [(b"host", host.encode("latin-1"))]
    response = site.ask("POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers=headers)
    assert "Host" in refused(response, 400, "invalid_value", "response_format")
    response = site.ask("POST", PATH, json={"prompt": "bag"}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("fields", [{"stream": True}])
def test_what_has_no_address_is_refused_with_what_to_do(site, fields):
    response = generate(site, prompt="bag", response_format="url", **fields)
    assert "b64_json" in refused(response, 400, "invalid_value", "response_format")


@pytest.mark.parametrize(
    "fields", [{}, {"prompt": ""}, {"prompt": None}, {"prompt": "a dog"}, {"prompt": "a shirt and a dress"}]
)
def test_a_prompt_that_names_no_one_class_lists_the_classes(site, fields):
    message = refused(generate(site, **fields), 400, "invalid_value", "prompt")
    assert ", ".join(CLASSES) in message


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"prompt": 7}, "prompt", "str"),
        ({"prompt": "x" * 4001}, "prompt", "4000"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 65}, "n", "1 to 64"),
        ({"n": "4"}, "n", "int"),
        ({"n": 17, "size": "1024x1024"}, "n", "at most 16 images"),
        ({"size": "0x0"}, "size", "WIDTHxHEIGHT"),
        ({"size": "99999x99999"}, "size", "WIDTHxHEIGHT"),
        ({"size": "8X8"}, "size", "WIDTHxHEIGHT"),
        ({"size": "x" * 5000}, "size", "WIDTHxHEIGHT"),
        ({"size": ""}, "size", "WIDTHxHEIGHT"),
        ({"size": 8}, "size", "str"),
        ({"response_format": "b64"}, "response_format", "b64_json, url"),
        ({"output_format": "gif"}, "output_format", "png, webp, jpeg, avif"),
        ({"output_format": "jpeg", "output_compression": 101}, "output_compression", "<= 100"),
        ({"output_compression": 50}, "output_compression", "jpeg"),
        ({"output_format": "webp", "output_compression": 99}, "output_compression", "jpeg"),
        ({"seed": -1}, "seed", ">= 0"),
        ({"seed": MAX_SEED, "n": 2}, "seed", str(MAX_SEED)),
        ({"truncation": 0}, "truncation", "> 0"),
        ({"truncation": 1.5}, "truncation", "<= 1"),
        ({"timeout": 0}, "timeout", "> 0"),
        ({"stream": 1}, "stream", "bool"),
        ({"partial_images": 4}, "partial_images", "<= 3"),
        ({"colour": "red"}, "colour", "allowed are prompt, model, n, size"),
        ({"label": 7}, "label", "allowed are prompt"),
        ({"quality": 1}, "quality", "str"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_named_with_what_is(site, fields, param, says):
    assert says in refused(generate(site, **{"prompt": "bag", **fields}), 400, "invalid_value", param)


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1", "", "tiny@0"])
def test_an_unknown_model_is_not_found(site, model):
    refused(generate(site, prompt="bag", model=model), 404, "model_not_found", "model")


def test_every_other_refusal_has_openais_shape_too(site):
    limit = site.front.models.settings.max_body_bytes
    refused(site.ask("POST", PATH, content=b"{"), 400, "not_json")
    refused(site.ask("POST", PATH, content=b"[]"), 400, "invalid_value")
    refused(site.ask("POST", PATH, content=bytes(limit + 1)), 413, "body_too_large")
    refused(
        site.ask("POST", PATH, content=b"x", headers={"content-type": "text/plain"}),
        415,
        "unsupported_media_type",
    )
    response = site.get(PATH)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    refused(site.ask("POST", "/v1/images/edits", json={}), 404, "unknown_route")
    refused(generate(site, prompt="bag", timeout=1e-9), 504, "deadline_passed")


@pytest.fixture
def stage(tmp_path):
    gate = threading.Event()
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate)
    limits = {"max_queue_images": 12, "max_images_per_request": 12, "timeout_seconds": 20}
    with loaded(tmp_path, {"tiny": tiny.file()}, engine, **limits) as models:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        gate.clear()
        yield Site(models), gate
        gate.set()


def test_a_full_queue_is_a_rate_limit_that_says_when_to_come_back(stage):
    site, gate = stage

    async def play() -> None:
        batcher = site.front.models.batcher
        async with site.client() as client:
            waiting = asyncio.ensure_future(client.post(PATH, json={"prompt": "bag", "n": 12}))
            await until(lambda: batcher.accepted_images == 12)
            response = await client.post(PATH, json={"prompt": "bag"})
            refused(response, 429, "rate_limit_exceeded")
            assert 1 <= int(response.headers["retry-after"]) <= 60
            gate.set()
            assert (await waiting).status_code == 200

    asyncio.run(play())


def test_a_deadline_holds_in_the_queue(stage):
    site, gate = stage
    refused(generate(site, prompt="bag", timeout=0.03), 504, "deadline_passed")
    gate.set()
    refused(generate(site, prompt="ankle boot"), 500, "engine_failed")
    assert generate(site, prompt="bag").status_code == 200


class SlowResize:
    """In the place of images.resize: holds up whoever encodes until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(images, "resize", self)

    def __call__(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        self.begun.set()
        self.go_on.wait(20)
        return image


def test_a_deadline_holds_while_images_are_encoded(site, monkeypatch):
    slow = SlowResize(monkeypatch)

    async def play() -> None:
        async with site.client() as client:
            refused(await client.post(PATH, json={"prompt": "bag", "timeout": 0.5}), 504, "deadline_passed")
        assert slow.begun.is_set()
        slow.go_on.set()

    asyncio.run(play())


def test_the_event_loop_goes_on_while_images_are_encoded(site, monkeypatch):
    slow = SlowResize(monkeypatch)

    async def play() -> None:
        async with site.client() as client:
            waiting = asyncio.ensure_future(client.post(PATH, json={"prompt": "bag"}))
            await until(slow.begun.is_set)
            assert (await client.get("/livez")).status_code == 200
            assert not waiting.done()
            slow.go_on.set()
            assert (await waiting).status_code == 200

    asyncio.run(play())


def test_a_model_that_is_not_ready_says_so(tmp_path):
    with loaded(tmp_path, {"broken": b"", "good": Tiny().file()}, threads=1) as models:
        response = generate(Site(models), prompt="bag", model="broken")
        assert "not an ONNX file" in refused(response, 503, "not_ready")
        assert response.headers["retry-after"] == "1"
