"""Refusals in the shape of OpenAI's, and what waits."""

import asyncio
import threading

import numpy as np
import pytest

from service.generator import images
from service.generator.latents import MAX_SEED
from tests.generators import CLASSES, Tiny
from tests.service.loaded import loaded
from tests.service.web.clients.generations import PATH, generate, refused
from tests.service.web.site import Site
from tests.service.web.stage import staged
from tests.waiting import until


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
    refused(site.ask("POST", "/v1/images/mirrors", json={}), 404, "unknown_route")
    refused(generate(site, prompt="bag", timeout=1e-9), 504, "deadline_passed")


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as one:
        one.gate.clear()
        yield one.site, one.gate


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
