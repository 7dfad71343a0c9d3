import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest

from service.drawing.sampler import SampleRequest
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.web.clients import bento
from service.web.http.asgi import CLIENT_GONE, Call, Message, Receive, Reply
from tests.service.web.site import Site, refused
from tests.service.web.stage import staged
from tests.waiting import until


async def stays() -> Message:
    """A client that waits for its answer."""
    await asyncio.Event().wait()
    raise AssertionError("nothing sets the event")


async def ask(models: Models, receive: Receive = stays, **fields: Any) -> Reply:
    call = Call({}, receive, models, False, Rollout(models), lambda: None, time.monotonic())
    return await bento.sample(call, SampleRequest(**fields))


def sample(models: Models, **fields: Any) -> Reply:
    return asyncio.run(ask(models, **fields))


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["code"]


def test_images_are_nested_lists_of_rows_columns_and_channels(site):
    reply = sample(site.front.models, model="colour", label="bag", n=3, seed=4)
    array = np.array(json.loads(reply.body))
    assert array.shape == (3, 8, 8, 3)
    wanted = site.samples(model="colour", label="bag", n=3, seed=4, format="npy").content
    assert array.astype(np.uint8).tobytes() == wanted[-array.size :]
    assert reply.headers["ganserve-seeds"] == "4-6"
    assert "forward;dur=" in reply.headers["server-timing"]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 4), (1, 3, 2, 5), (3, 3, 1, 2)])
def test_lists_are_the_same_as_pythons(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert json.loads(bento.lists(pixels)) == pixels.transpose(0, 2, 3, 1).tolist()


def test_lists_hold_every_level():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert json.loads(bento.lists(levels)) == levels.transpose(0, 2, 3, 1).tolist()


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path, broken=b"") as one:
        yield one.models, one.gate


def test_whatever_goes_wrong_is_a_reply_because_bentoml_would_word_it(stage):
    models, gate = stage
    assert code(sample(models, model="none")) == (404, "unknown_model")
    assert code(sample(models, model="broken")) == (503, "not_ready")
    assert code(sample(models, label="shoe")) == (422, "invalid_field")
    assert code(sample(models, n=13)) == (422, "invalid_field")
    assert code(sample(models, label=9)) == (500, "engine_failed")
    gate.clear()
    assert code(sample(models, label=0, timeout=0.03)) == (504, "deadline_passed")


def test_a_queue_that_is_full_of_other_clients_requests_is_full_here_too(stage):
    models, gate = stage
    gate.clear()

    async def play() -> None:
        async with Site(models).client() as client:
            waiting = asyncio.ensure_future(client.post("/v1/samples", json={"label": 0, "n": 12}))
            await until(lambda: models.batcher.accepted_images == 12)
            reply = await ask(models, label=0)
            assert code(reply) == (429, "queue_full")
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            gate.set()
            assert (await waiting).status_code == 200

    asyncio.run(play())


def test_a_client_that_leaves_frees_its_place_in_the_queue(stage):
    models, gate = stage
    gate.clear()

    async def play() -> None:
        left = asyncio.Event()

        async def leaves() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        asked = asyncio.ensure_future(ask(models, leaves, label=0, n=12))
        await until(lambda: models.batcher.accepted_images == 12)
        left.set()
        assert (await asked).status == CLIENT_GONE
        assert models.batcher.accepted_images == 0

    asyncio.run(play())


class Bento:
    """In the place of BentoML's app: notes the bodies that come to it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"bento"})


def test_bentoml_gets_no_body_but_one_that_is_fit_for_sample(site):
    behind = Bento()
    front = Site(site.front.models, behind, frozenset({"/sample"}))
    limit = site.front.models.settings.max_body_bytes
    json_type = {"content-type": "application/json"}

    def ask(body: bytes, headers: dict[str, str] = json_type) -> Any:
        return front.ask("POST", "/sample", content=body, headers=headers)

    refused(ask(b'{"n": 0}'), 422, "invalid_field", "n")
    refused(ask(b'{"n": 1, "format": "npy"}'), 422, "invalid_field", "format")
    refused(ask(b'{"label": [1, 2]}'), 422, "invalid_field", "label")
    refused(ask(b"{"), 400, "not_json")
    refused(ask(b'{"truncation": NaN}'), 400, "not_json")
    refused(ask(bytes(limit + 1)), 413, "body_too_large")
    for kind in ("application/vnd.bentoml+pickle", "multipart/form-data", "text/plain"):
        refused(ask(b"{}", {"content-type": kind}), 415, "unsupported_media_type")
    refused(front.get("/sample"), 405, "method_not_allowed")
    refused(front.ask("POST", "/schema.json"), 405, "method_not_allowed")
    assert behind.bodies == []
    good = b'{"model": "tiny", "label": "bag", "n": 2, "seed": 3, "truncation": 1, "timeout": 5}'
    assert ask(good).text == "bento"
    assert ask(b"").status_code == 200
    assert front.get("/schema.json").text == "bento"
    assert json.loads(behind.bodies[0]) | {"truncation": 1} == json.loads(good)
    assert behind.bodies[1:] == [b"{}", b""]
