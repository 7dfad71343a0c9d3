"""/v1/samples where it has to wait, and where what it waits for fails."""

import asyncio

import httpx
import pytest

from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.service.web.stage import ask_and_leave, staged
from tests.waiting import until


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as one:
        yield one


def test_a_full_queue_answers_429_at_once_and_says_when_to_come_back(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            waiting = [
                asyncio.ensure_future(client.post("/v1/samples", json={"n": 6, "label": 0})) for _ in range(2)
            ]
            await until(lambda: stage.waiting == 12)
            response = await client.post("/v1/samples", json={"label": 0})
            refused(response, 429, "queue_full")
            assert 1 <= int(response.headers["retry-after"]) <= 60
            stage.gate.set()
            assert [one.status_code for one in await asyncio.gather(*waiting)] == [200, 200]
            assert (await client.post("/v1/samples", json={"label": 0})).status_code == 200

    asyncio.run(play())


def test_a_request_past_its_own_deadline_is_answered_504(stage):
    stage.gate.clear()
    refused(stage.site.samples(label=0, timeout=0.03), 504, "deadline_passed")
    refused(stage.site.samples(label=0, timeout=1e-9), 504, "deadline_passed")
    stage.gate.set()
    assert stage.site.samples(label=0, timeout=1e300).status_code == 200


def test_a_failed_pass_is_a_500_to_who_made_it_fail_and_to_nobody_else(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:

            async def ask(label: int) -> httpx.Response:
                return await client.post("/v1/samples", json={"label": label, "seed": 1})

            first = asyncio.ensure_future(ask(0))
            await until(lambda: stage.models.batcher.passes())
            both = [asyncio.ensure_future(ask(label)) for label in (9, 1)]
            await until(lambda: stage.waiting == 3)
            stage.gate.set()
            assert (await first).status_code == 200
            guilty, innocent = await asyncio.gather(*both)
            assert "RuntimeError" not in refused(guilty, 500, "engine_failed")
            assert innocent.status_code == 200
            assert (await ask(1)).status_code == 200

    asyncio.run(play())


def test_a_pass_that_fails_in_onnxruntime_is_a_500_and_the_next_one_works(tmp_path):
    file = Tiny(fails_on_large_z=True).file()
    with loaded(tmp_path, {"tiny": file}, engine="onnxruntime", threads=1) as models:
        site = Site(models)
        for z, status in ((1, 200), (2000, 500), (1, 200), (2000, 500), (0, 200)):
            assert site.samples(label=1, z=[[z] * 8]).status_code == status


def test_a_request_refused_for_its_fields_harms_no_batch_mate(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            first = asyncio.ensure_future(client.post("/v1/samples", json={"label": 0, "seed": 3}))
            await until(lambda: stage.waiting == 1)
            good = asyncio.ensure_future(client.post("/v1/samples", json={"label": 1, "seed": 4}))
            bad = await client.post("/v1/samples", json={"label": "nothing", "seed": 4})
            refused(bad, 422, "invalid_field", "label")
            stage.gate.set()
            assert (await first).status_code == (await good).status_code == 200

    asyncio.run(play())


def test_a_client_that_leaves_frees_its_place_in_the_queue(stage):
    async def play() -> None:
        stage.gate.clear()
        sent = await ask_and_leave(
            stage.site, "/v1/samples", b'{"n": 12, "label": 0}', lambda: stage.waiting == 12
        )
        await until(lambda: stage.waiting == 0)
        assert sent == []

    asyncio.run(play())


def test_a_model_that_is_loading_or_failed_answers_503_and_says_why(tmp_path):
    with loaded(tmp_path, {"broken": b"", "good": Tiny().file()}, threads=1) as models:
        site = Site(models)
        detail = refused(site.samples(model="broken"), 503, "not_ready")
        assert "not an ONNX file" in detail
        models["good"].state = "loading"
        response = site.samples(model="good")
        refused(response, 503, "not_ready")
        assert response.headers["retry-after"] == "1"
        refused(site.get("/v1/models/good/images/0/1.png"), 503, "not_ready")
        assert site.get("/v1/models/broken").json()["problem"].startswith("not an ONNX file")
        assert site.get("/v1/models/good").json()["state"] == "loading"


def test_while_draining_the_batcher_refuses_with_503(tmp_path):
    with loaded(tmp_path, {"good": Tiny().file()}, threads=1) as models:
        assert models.batcher
        models.batcher.drain()
        refused(Site(models).samples(), 503, "draining")
