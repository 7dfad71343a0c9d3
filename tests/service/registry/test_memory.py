"""More models than GANSERVE_MAX_LOADED_MB holds, each asked for as users do."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.generator import images
from service.generator.latents import latents
from service.registry.footprint import memory_mb
from service.registry.model import Model
from service.registry.models import Models
from service.settings import Settings
from service.web.front import Front
from tests import generators
from tests.generators import Tiny
from tests.service.web.site import Site, refused
from tests.waiting import until

TINIES = {name: Tiny(weights_seed=seed) for seed, name in enumerate(("a", "b", "c", "d"))}
FILES = {name: tiny.file() for name, tiny in TINIES.items()}
MB = memory_mb(len(FILES["a"]))


@asynccontextmanager
async def serving(
    root: Path, files: dict[str, bytes], **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Front]]:
    """A client of these models, and what it asks."""
    generators.folder(root, files)
    models = Models(Settings(models=root, engine="onnxruntime", threads=1, default_model="b", **settings))
    site = Site(models)
    await site.front.rollout.start()
    try:
        async with site.client() as client:
            yield client, site.front
    finally:
        await site.front.rollout.stop()
        if models.batcher:
            await asyncio.to_thread(models.batcher.close)


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    return (await client.get("/readyz")).json()["models"]


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def draws(client: httpx.AsyncClient, name: str) -> bool:
    """Whether a sample of the model is what its network draws."""
    reply = await client.post("/v1/samples", json={"model": name, "seed": 5, "label": 3})
    assert reply.status_code == 200, reply.text
    (drawn,) = TINIES[name].forward(latents([5], 8), np.array([3]))
    return bool(np.abs(images.decode(reply.content).astype(int) - drawn).max() <= 1)


def loads(name: str) -> float:
    return REGISTRY.get_sample_value("ganserve_model_loads_total", {"model": name}) or 0.0


def test_the_default_model_comes_first_and_as_many_as_there_is_room_for(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=2.5 * MB) as (client, _):
            assert await states(client) == {"a": "ready", "b": "ready", "c": "idle", "d": "idle"}
            assert await is_ready(client)

    play(scene())


def test_one_model_is_always_loaded(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=0.5 * MB) as (client, _):
            assert await states(client) == {"a": "idle", "b": "ready", "c": "idle", "d": "idle"}
            assert await draws(client, "d")
            assert await states(client) == {"a": "idle", "b": "idle", "c": "idle", "d": "ready"}

    play(scene())


def test_an_idle_model_is_loaded_in_the_place_of_the_one_not_asked_for_longest(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=2.5 * MB) as (client, _):
            assert await draws(client, "a")
            assert await draws(client, "c")
            assert await states(client) == {"a": "ready", "b": "idle", "c": "ready", "d": "idle"}
            assert await draws(client, "a")
            assert await draws(client, "b")
            assert await states(client) == {"a": "ready", "b": "ready", "c": "idle", "d": "idle"}
            assert await is_ready(client)

    play(scene())


def test_what_gave_its_place_is_out_of_memory(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB) as (client, front):
            engine = weakref.ref(front.models["b"].engine)
            assert await draws(client, "c")
            gc.collect()
            assert engine() is None

    play(scene())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/samples", {"model": "d"}),
        ("POST", "/v1/interpolations", {"model": "d", "seeds": [1, 2], "steps": 2}),
        ("POST", "/v1/images/generations", {"model": "d", "prompt": "a bag"}),
        ("GET", "/v1/models/d/images/bag/1.png", None),
        ("GET", "/v2/models/d", None),
        ("GET", "/v2/models/d/config", None),
        ("POST", "/v2/models/d/infer", {"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [1]}]}),
    ],
)  # fmt: skip
def test_every_way_to_ask_wakes_it(tmp_path, method, path, body):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB) as (client, _):
            reply = await client.request(method, path, json=body)
            assert reply.status_code in (200, 307), reply.text
            assert (await states(client))["d"] == "ready"

    play(scene())


def test_many_that_ask_at_once_wait_for_one_loading_and_one_that_leaves_stops_none(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB) as (client, front):
            before = loads("c")
            first = asyncio.create_task(draws(client, "c"))
            others = [asyncio.create_task(draws(client, "c")) for _ in range(8)]
            while not front.rollout._waking:
                await asyncio.sleep(0)
            first.cancel()
            assert all(await asyncio.gather(*others))
            assert loads("c") == before + 1

    play(scene())


def test_many_models_at_once_in_the_place_of_one_are_all_answered(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB) as (client, _):
            assert all(await asyncio.gather(*(draws(client, name) for name in "acdbacdb")))
            assert list((await states(client)).values()).count("ready") == 1

    play(scene())


def test_nobody_waits_longer_than_a_request_may_take(tmp_path, monkeypatch):
    gate = threading.Event()
    load = Model.load

    def loads_slowly(model: Model, *given: Any) -> None:
        if model.name == "c":
            gate.wait(20)
        load(model, *given)

    monkeypatch.setattr(Model, "load", loads_slowly)

    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB, timeout_seconds=0.2) as (client, front):
            begun = time.monotonic()
            reply = await client.post("/v1/samples", json={"model": "c"})
            assert "Model c is not in memory yet; it is being loaded." in refused(
                reply, 504, "deadline_passed"
            )
            assert time.monotonic() - begun < 2
            gate.set()
            await until(lambda: front.models["c"].state == "ready")

    play(scene())


def test_one_that_can_not_be_served_says_why_and_takes_the_service_from_nobody(tmp_path):
    async def scene() -> None:
        files = FILES | {"c": FILES["c"][:-100]}
        async with serving(tmp_path, files, max_loaded_mb=1.5 * MB) as (client, _):
            reply = await client.post("/v1/samples", json={"model": "c"})
            assert "Model c is failed: " in refused(reply, 503, "not_ready")
            assert (await states(client))["c"] == "failed"
            assert await is_ready(client)
            assert await draws(client, "b")

    play(scene())


def test_what_an_idle_model_is_told_of(tmp_path):
    async def scene() -> None:
        async with serving(tmp_path, FILES, max_loaded_mb=1.5 * MB) as (client, _):
            card = (await client.get("/v1/models/d")).json()
            assert card["state"] == "idle"
            assert (await client.get("/v2/models/d/ready")).status_code == 200
            index = (await client.post("/v2/repository/index", json={})).json()
            entry = next(one for one in index if one["name"] == "d")
            assert (entry["state"], entry["reason"]) == (
                "UNAVAILABLE",
                "not in memory; it is loaded when it is asked for",
            )
            assert (await states(client))["d"] == "idle"

    play(scene())
