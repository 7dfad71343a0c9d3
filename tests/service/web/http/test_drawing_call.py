"""A model that is not in memory, asked for by every protocol, while loading it takes as long as the test wants."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY

from service.batching.batcher import Batcher
from service.batching.forward_pass import Line
from service.drawing.sampler import SampleRequest
from service.registry.footprint import memory_mb
from service.registry.model import Model
from service.registry.models import Models
from service.settings import Settings
from service.web.clients import bento
from service.web.http.asgi import Receive, Reply, Scope, Send, send_reply
from tests import generators
from tests.generators import Tiny
from tests.service.web.site import Site
from tests.waiting import until

FILES = {name: Tiny(weights_seed=seed).file() for seed, name in enumerate(("a", "b"))}
SEED = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [1]}
EVERY_WAY: dict[str, dict[str, Any]] = {
    "/v1/samples": {"model": "b"},
    "/v1/interpolations": {"model": "b", "seeds": [1, 2], "steps": 2},
    "/v1/arithmetic": {"model": "b", "terms": [{"weight": 1, "seeds": [1]}]},
    "/v1/images/generations": {"model": "b", "prompt": "a bag"},
    "/v2/models/b/infer": {"inputs": [SEED]},
    "/sample": {"model": "b"},
}
WITHOUT_TIMEOUT = [
    "/v1/models/b/images/bag/1.png",
    "/v2/models/b",
    "/v2/models/b/config",
    "/v2/models/b/stats",
]


async def as_bentoml(scope: Scope, receive: Receive, send: Send) -> None:
    """What BentoML does with a body for its one method."""
    asked = msgspec.json.decode((await receive())["body"], type=SampleRequest)
    reply: Reply = await bento.sample(scope[bento.CALL], asked)
    await send_reply(send, reply, "1")


class Stage:
    """`b` is idle, and is loaded when the gate is open."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        generators.folder(root, FILES)
        room = 1.5 * memory_mb(len(FILES["a"]))
        models = Models(
            Settings(
                models=root,
                engine="onnxruntime",
                threads=1,
                default_model="a",
                max_loaded_mb=room,
                **settings,
            )
        )
        self.front = Site(models, as_bentoml, frozenset({"/sample"})).front
        self.gate = threading.Event()
        load = Model.load

        def loads(model: Model, *given: Any) -> None:
            if model.name == "b":
                assert self.gate.wait(20)
            load(model, *given)

        monkeypatch.setattr(Model, "load", loads)

    def is_loading(self) -> bool:
        return any(model.name == "b" for model in self.front.rollout._waking)

    @property
    def state(self) -> str:
        return self.front.models["b"].state

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        await self.front.rollout.start()
        try:
            transport = httpx.ASGITransport(self.front)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://site", trust_env=False, timeout=20
            ) as client:
                yield client
        finally:
            self.gate.set()
            await self.front.rollout.stop()
            if batcher := self.front.models.batcher:
                await asyncio.to_thread(batcher.close)

    async def post(
        self, client: httpx.AsyncClient, path: str, seconds: float, waits: Callable[[], object] = lambda: None
    ) -> httpx.Response:
        """Ask for images of `b`, which are to come within so many seconds; `waits` is called before the body goes."""
        timeout = (
            {"parameters": {"timeout": int(1e6 * seconds)}}
            if path.startswith("/v2")
            else {"timeout": seconds}
        )

        async def body() -> AsyncIterator[bytes]:
            waits()
            yield msgspec.json.encode(EVERY_WAY[path] | timeout)

        return await client.post(path, content=body(), headers={"content-type": "application/json"})


def loadings() -> float:
    return REGISTRY.get_sample_value("ganserve_model_loads_total", {"model": "b"}) or 0.0


@pytest.fixture
def stage(tmp_path, monkeypatch):
    return lambda **settings: Stage(tmp_path, monkeypatch, **settings)


@pytest.mark.parametrize("path", EVERY_WAY)
def test_who_waits_for_an_idle_model_waits_as_long_as_was_asked(stage, path):
    async def scene() -> None:
        one, before = stage(), loadings()
        async with one.client() as client:
            begun = time.monotonic()
            reply = await one.post(client, path, 0.2)
            assert (reply.status_code, "not in memory yet" in reply.text) == (504, True), reply.text
            assert 0.2 <= time.monotonic() - begun < 1
            assert one.is_loading(), "others may want it"
            waiting = asyncio.create_task(one.post(client, path, 15))
            await asyncio.sleep(0)
            one.gate.set()
            assert (await waiting).status_code == 200
            assert loadings() == before + 1

    asyncio.run(scene())


@pytest.mark.parametrize("path", WITHOUT_TIMEOUT)
def test_where_no_time_can_be_asked_for_it_is_the_longest_that_there_is(stage, path):
    async def scene() -> None:
        one = stage(timeout_seconds=0.2)
        async with one.client() as client:
            reply = await client.get(path)
            assert reply.status_code == 504, reply.text
            assert one.is_loading()
            one.gate.set()
            await until(lambda: one.state == "ready")
            assert (await client.get(path, follow_redirects=True)).status_code == 200

    asyncio.run(scene())


@pytest.mark.parametrize("path", EVERY_WAY)
def test_the_time_of_a_request_begins_with_its_head_and_never_anew(stage, path, monkeypatch):
    deadlines: list[float] = []
    enqueue = Batcher.enqueue

    def notes(batcher: Batcher, line: Line, z: Any, label: Any, deadline: float, *rest: Any) -> Any:
        deadlines.append(deadline)
        return enqueue(batcher, line, z, label, deadline, *rest)

    monkeypatch.setattr(Batcher, "enqueue", notes)

    async def scene() -> None:
        one = stage()
        async with one.client() as client:
            earliest = time.monotonic()
            latest: list[float] = []
            waiting = asyncio.create_task(one.post(client, path, 15, lambda: latest.append(time.monotonic())))
            await until(one.is_loading)
            one.gate.set()
            assert (await waiting).status_code == 200
            (deadline,) = deadlines
            assert earliest + 15 <= deadline <= latest[0] + 15

    asyncio.run(scene())


def test_who_leaves_while_a_model_is_loaded_stops_nobody(stage):
    async def scene() -> None:
        one, before = stage(), loadings()
        left = asyncio.Event()
        body = [{"type": "http.request", "body": b'{"model": "b"}', "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if not body:
                await left.wait()
            return body.pop() if body else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        async with one.client() as client:
            scope = {"type": "http", "method": "POST", "path": "/v1/samples", "headers": []}
            leaving = asyncio.create_task(one.front(scope, receive, send))
            staying = asyncio.create_task(one.post(client, "/v1/samples", 15))
            await until(one.is_loading)
            left.set()
            await leaving
            assert sent == []
            assert one.is_loading()
            one.gate.set()
            assert (await staying).status_code == 200
            assert loadings() == before + 1

    asyncio.run(scene())
