"""What clients are told of files that nobody here wrote, and of one that breaks its word while it serves."""

import asyncio
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest

from service.generator.engines.fake import FakeEngine
from tests.generators import Tiny, hostile
from tests.service.loaded import loaded
from tests.service.web.clients.test_bento import ask
from tests.service.web.site import Site, refused
from tests.waiting import until


@pytest.fixture(scope="module")
def sphere(tmp_path_factory):
    """A site with a model in which truncation changes nothing."""
    root = tmp_path_factory.mktemp("models")
    with loaded(root, {"sphere": hostile.normalised()}, engine="onnxruntime", threads=1) as models:
        yield Site(models)


def test_a_card_says_what_was_tried_and_what_was_not(sphere, site):
    card = sphere.get("/v1/models/sphere").json()
    assert card["state"] == "ready"
    assert (card["truncation"], card["golden"]) == (False, None)
    assert card["invariance"] == {"levels": 0, "unit": "uint8 levels"}
    assert {1, 2, 3, 5} < {*card["checked"]["sizes"]}
    assert card["checked"]["classes"] == hostile.CLASSES
    assert card["checked"]["images"] > 20
    assert 0 < card["checked"]["seconds"] < 5
    assert "no golden samples" in card["unchecked"]
    own = site.get("/v1/models/tiny").json()
    assert (own["truncation"], own["unchecked"]) == (True, None)
    assert 'ganserve_invariance_levels{model="sphere"' in sphere.get("/metrics").text


V2 = {"inputs": [{"name": "seed", "shape": [1], "datatype": "INT64", "data": [1]}]}
ADDRESS = "/v1/models/sphere/images/class-1/7.png"


def asked(truncation: float) -> dict[str, tuple[str, str, dict | None]]:
    scaled = {"truncation": truncation}
    return {
        "samples": ("POST", "/v1/samples", {"seed": 1} | scaled),
        "z": ("POST", "/v1/samples", {"z": [[0.5] * 8]} | scaled),
        "interpolations": ("POST", "/v1/interpolations", {"seeds": [1, 2]} | scaled),
        "arithmetic": ("POST", "/v1/arithmetic", {"terms": [{"seeds": [1], "weight": 1}]} | scaled),
        "V2": ("POST", "/v2/models/sphere/infer", V2 | {"parameters": scaled}),
        "OpenAI": ("POST", "/v1/images/generations", {"prompt": "class 1"} | scaled),
        "OpenAI, addresses": (
            "POST",
            "/v1/images/generations",
            {"prompt": "class 1", "response_format": "url"} | scaled,
        ),
        "an address": ("GET", f"{ADDRESS}?truncation={truncation}", None),
    }


@pytest.mark.parametrize("way", asked(1))
def test_truncation_that_changes_nothing_is_refused_on_every_protocol(sphere, way):
    method, path, fields = asked(0.5)[way]
    response = sphere.ask(method, path, json=fields)
    assert response.status_code in (400, 422)
    assert "truncation changes nothing; allowed is 1" in response.text
    method, path, fields = asked(1)[way]
    assert sphere.ask(method, path, json=fields).status_code in (200, 307)


def test_the_versioned_address_refuses_it_too(sphere):
    location = urljoin(ADDRESS, sphere.get(ADDRESS).headers["location"])
    assert sphere.get(location).status_code == 200
    refused(sphere.get(f"{location}?truncation=0.5"), 422, "invalid_field", "truncation")
    unasked = {"if-none-match": "*"}
    refused(sphere.get(f"{location}?truncation=0.5", headers=unasked), 422, "invalid_field", "truncation")


def test_bentoml_clients_are_told_too(sphere):
    reply = asyncio.run(ask(sphere.front.models, truncation=0.5))
    assert (reply.status, b"changes nothing" in reply.body) == (422, True)


class Breaks(FakeEngine):
    """Keeps its word until it is told not to."""

    breaks = ""

    def _forward(self, z, label):
        images = super()._forward(z, label)
        if self.breaks == "size":
            return images[:, :, :, :4]
        if self.breaks == "type":
            return images.astype(np.float32)
        return images[:-1] if self.breaks == "count" else images


@pytest.mark.parametrize("how", ["size", "type", "count"])
def test_a_pass_that_gives_anything_else_is_an_error_and_takes_the_model_out_of_ready(tmp_path, how):
    tiny = Tiny(golden_samples=0)
    engine = Breaks(tiny.contract())

    async def play(site: Site) -> None:
        async with site.client() as client:

            async def ask() -> httpx.Response:
                return await client.post("/v1/samples", json={"n": 3})

            assert (await ask()).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            engine.breaks = how
            for response in await asyncio.gather(*(ask() for _ in range(5))):
                if response.status_code == 503:  # it came when the model was no longer ready
                    continue
                assert "Model tiny gave" in refused(response, 500, "engine_failed")
            engine.breaks = ""
            detail = refused(await ask(), 503, "not_ready")
            assert "Model tiny is failed: Model tiny gave" in detail
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            card = (await client.get("/v1/models/tiny")).json()
            assert (card["state"], "not uint8" in card["problem"]) == ("failed", True)
            assert models.batcher is not None
            batcher = models.batcher
            await until(lambda: batcher.accepted_images == 0)

    with loaded(tmp_path, {"tiny": tiny.file()}, engine, default_model="tiny") as models:
        asyncio.run(play(Site(models)))
