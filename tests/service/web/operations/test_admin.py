"""/v1/admin, and what other routes make of several versions; in process, with one worker."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.generator import contract
from service.keys import Entry, Keyring
from service.registry.models import Models
from service.registry.rollout import Rollout
from service.settings import Settings
from service.web.front import Front
from service.web.openapi import document
from service.web.routes import ROUTES
from tests import generators
from tests.generators import Tiny
from tests.service.web.site import Site, no_bento, refused
from tests.waiting import until

OLD, NEW = Tiny(golden_samples=1), Tiny(golden_samples=1, weights_seed=1)
TOKEN = "t" * 43
V_OLD, V_NEW = contract.version(OLD.file()), contract.version(NEW.file())


@asynccontextmanager
async def served(
    root: Path, keyring: Keyring | None = None, credential: str = f"Bearer {TOKEN}"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a worker with both versions of `tiny` in memory; the old one gets the requests."""
    folder = generators.folder(root / "models", {"tiny": OLD.file()})
    (folder / "tiny" / "generator-2.onnx").write_bytes(NEW.file())
    models = Models(Settings(models=folder, default_model="tiny", engine="onnxruntime", threads=1))
    front = Front(models, no_bento, frozenset(), keyring, TOKEN)
    front.rollout = Rollout(models, root / "shared")
    await front.rollout.start()
    await until(lambda: all(model.state == "ready" for model in models.versions["tiny"]))
    headers = {"authorization": credential} if credential else {}
    transport = httpx.ASGITransport(front)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:3000", headers=headers, trust_env=False
        ) as asking:
            yield asking
    finally:
        await front.rollout.stop()
        assert models.batcher
        await asyncio.to_thread(models.batcher.close)


def play(root, scene: Callable[[httpx.AsyncClient], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with served(root, **options) as client:
            await scene(client)

    asyncio.run(run())


def test_the_examples_of_the_reference_are_orders_that_work(tmp_path):
    paths = document(ROUTES, Settings())["paths"]

    async def scene(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v1/admin/models")).status_code == 200
        for path in ("/v1/admin/reload", "/v1/admin/models/{model}", "/v1/admin/models/{model}/retire"):
            (content,) = paths[path]["post"]["requestBody"]["content"].values()
            for example in content["examples"].values():
                asked = json.loads(json.dumps(example["value"]))
                if "version" in asked:
                    assert len(asked["version"]) == len(V_NEW)
                    asked["version"] = V_OLD if "retire" in path else V_NEW
                response = await client.post(path.format(model="tiny"), json=asked)
                assert response.status_code == 200, response.text
                assert response.json()["workers"][0]["change"] == response.json()["wanted"]["change"]
        assert response.json()["wanted"]["models"]["tiny"]["versions"] == {V_NEW: "generator-2.onnx"}

    play(tmp_path, scene)


def test_what_is_wrong_with_an_order_is_said_and_described(tmp_path):
    async def scene(client: httpx.AsyncClient) -> None:
        before = (await client.get("/v1/admin/models")).json()

        async def post(path: str, **options: Any) -> httpx.Response:
            response = await client.post(path, **options)
            pattern = path.replace("/none", "/{model}").replace("/tiny", "/{model}")
            described = document(ROUTES, Settings())["paths"][pattern]["post"]["responses"]
            assert str(response.status_code) in described
            return response

        new = {"version": V_NEW}
        refused(await post("/v1/admin/models/none", json=new), 404, "unknown_model")
        refused(await post("/v1/admin/models/tiny", json={"version": "1" * 12}), 404, "unknown_model")
        refused(await post("/v1/admin/models/tiny", json={}), 422, "invalid_field", "version")
        refused(await post("/v1/admin/models/tiny", json={"version": 7}), 422, "invalid_field", "version")
        for share in (-0.1, 1.1, "half", None):
            refused(
                await post("/v1/admin/models/tiny", json=new | {"share": share}),
                422,
                "invalid_field",
                "share",
            )
        refused(
            await post("/v1/admin/models/tiny", json={"version": V_OLD, "share": 0.5}),
            422,
            "invalid_field",
            "share",
        )
        refused(await post("/v1/admin/reload", json={"timeout": 0}), 422, "invalid_field", "timeout")
        refused(await post("/v1/admin/reload", json={"path": "/etc"}), 422, "invalid_field", "path")
        refused(await post("/v1/admin/reload", content=b"{"), 400, "not_json")
        refused(
            await post("/v1/admin/reload", content=b"{}", headers={"content-type": "text/plain"}),
            415,
            "unsupported_media_type",
        )
        refused(await post("/v1/admin/models/tiny/retire", json={"version": V_OLD}), 409, "version_refused")
        refused(await client.get("/v1/admin/reload"), 405, "method_not_allowed")
        assert (await client.get("/v1/admin/models")).json() == before

    play(tmp_path, scene)


ORDERS = [
    ("GET", "/v1/admin/models"),
    ("POST", "/v1/admin/models/tiny"),
    ("POST", "/v1/admin/models/tiny/retire"),
    ("POST", "/v1/admin/reload"),
    ("POST", "/v1/admin/drain"),
    ("POST", "/v2/repository/models/tiny/load"),
    ("POST", "/v2/repository/models/tiny/unload"),
]


def test_every_route_for_admin_is_among_the_orders():
    patterns = {(method, path.replace("tiny", "{model}")) for method, path in ORDERS}
    assert patterns == {(route.method, route.path) for route in ROUTES if route.scope == "admin"}


@pytest.mark.parametrize("wrong", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[1:]}", "Bearer ", "Bearer é"])
def test_without_keys_an_order_needs_the_token_wherever_it_comes_from(tmp_path, wrong):
    async def scene(client: httpx.AsyncClient) -> None:
        for host in ("localhost:3000", "127.0.0.1", "[::1]:3000", "example.com"):
            for method, path in ORDERS:
                headers = {"host": host, "authorization": wrong.encode()} if wrong else {"host": host}
                answer = await client.request(method, path, json={"version": V_NEW}, headers=headers)
                assert answer.status_code == 403
                code = answer.headers["ganserve-error"] if "/v2/" in path else answer.json()["code"]
                assert code == "local_only"
        (card,) = (await client.get("/v1/models")).json()["data"]
        assert (card["version"], len(card["versions"])) == (V_OLD, 2)
        assert (await client.get("/readyz")).json()["draining"] is False

    play(tmp_path, scene, credential="")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none", "host": "example.com", "x-forwarded-for": "10.0.0.7"}, 200),
        ({"x-api-key": TOKEN}, 200),
    ],
)
def test_a_page_gives_no_order_whatever_it_knows(tmp_path, headers, status):
    async def scene(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v1/admin/models", headers=headers)).status_code == status
        answer = await client.post("/v1/admin/models/tiny", json={"version": V_NEW}, headers=headers)
        assert answer.status_code == status

    play(tmp_path, scene)


def test_with_keys_one_for_admin_orders_from_anywhere_and_so_does_the_token(tmp_path):
    entry = Entry("ops", sha256=hashlib.sha256(b"k" * 16).hexdigest(), scopes=["admin"])

    async def scene(client: httpx.AsyncClient) -> None:
        async def ask(**headers: str) -> httpx.Response:
            elsewhere = {"host": "example.com", "x-forwarded-for": "10.0.0.7"}
            return await client.post(
                "/v1/admin/models/tiny", json={"version": V_NEW}, headers=elsewhere | headers
            )

        refused(await ask(), 401, "invalid_api_key")
        refused(await ask(authorization="Bearer " + "t" * 42), 401, "invalid_api_key")
        key = "Bearer " + "k" * 16
        assert (await ask(authorization=key, origin="https://ops.example.com")).status_code == 200
        assert (await ask(authorization=f"Bearer {TOKEN}")).status_code == 200
        sampled = await client.post("/v1/samples", json={}, headers={"authorization": f"Bearer {TOKEN}"})
        refused(sampled, 401, "invalid_api_key")

    play(tmp_path, scene, keyring=Keyring([entry], 1, time.monotonic()), credential="")


def test_outside_bentoml_orders_say_that_there_is_no_folder(site):
    headers = {"authorization": "Bearer t"}
    refused(site.get("/v1/admin/models", headers=headers), 403, "local_only")
    own = Site(site.front.models, token="t")
    assert "no folder" in refused(own.get("/v1/admin/models", headers=headers), 503, "not_shared")


async def versions_of_every_route(client: httpx.AsyncClient, seed: int, model: str) -> set[str]:
    """Which versions answer for this seed, on all routes that draw."""
    tensor = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [seed]}
    sampled = await client.post("/v1/samples", json={"model": model, "seed": seed, "n": 2})
    answers = [
        sampled,
        await client.post("/v1/images/generations", json={"model": model, "prompt": "bag", "seed": seed}),
        await client.post("/v1/interpolations", json={"model": model, "seeds": [seed, 2], "steps": 2}),
        await client.post(
            "/v1/interpolations", json={"model": model, "label": [1, 2], "seed": seed, "steps": 2}
        ),
        await client.post(
            "/v1/arithmetic", json={"model": model, "terms": [{"weight": 1, "seeds": [seed, 1]}]}
        ),
    ]
    answers.append(await client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]}))
    image = await client.get(f"/v1/models/{model}/images/bag/{seed}.png")
    found = {answer.headers["ganserve-version"] for answer in answers}
    if image.status_code == 307:
        assert image.headers["cache-control"] == "no-cache"
        found.add(image.headers["location"].partition("@")[2].partition("/")[0])
        image = await client.get(image.request.url.join(image.headers["location"]))
    return found | {image.headers["ganserve-version"]}


def test_every_route_sends_a_seed_the_same_way_and_a_named_version_to_that(tmp_path):
    async def scene(client: httpx.AsyncClient) -> None:
        await client.post("/v1/admin/models/tiny", json={"version": V_NEW, "share": 0.5})
        ways = [await versions_of_every_route(client, seed, "tiny") for seed in range(12)]
        assert all(len(way) == 1 for way in ways)
        assert set.union(*ways) == {V_OLD, V_NEW}
        for version in (V_OLD, V_NEW):
            assert await versions_of_every_route(client, 3, f"tiny@{version}") == {version}

    play(tmp_path, scene)


def test_an_image_at_a_versioned_address_is_the_same_whoever_gets_the_requests(tmp_path):
    async def scene(client: httpx.AsyncClient) -> None:
        async def images() -> list[bytes]:
            urls = [f"/v1/models/tiny@{version}/images/bag/7.png" for version in (V_OLD, V_NEW)]
            answers = [await client.get(url) for url in urls]
            assert {answer.status_code for answer in answers} == {200}
            assert all("immutable" in answer.headers["cache-control"] for answer in answers)
            return [answer.content + answer.headers["etag"].encode() for answer in answers]

        before = await images()
        assert before[0] != before[1]
        for order in ({"version": V_NEW, "share": 0.5}, {"version": V_NEW}, {"version": V_OLD}):
            assert (await client.post("/v1/admin/models/tiny", json=order)).status_code == 200
            assert await images() == before
        assert (await client.post("/v1/admin/models/tiny/retire", json={"version": V_NEW})).status_code == 200
        gone = await client.get(f"/v1/models/tiny@{V_NEW}/images/bag/7.png")
        refused(gone, 404, "unknown_model")
        assert "immutable" not in gone.headers.get("cache-control", "")

    play(tmp_path, scene)


def test_cards_list_the_versions_and_their_shares(tmp_path):
    async def scene(client: httpx.AsyncClient) -> None:
        await client.post("/v1/admin/models/tiny", json={"version": V_NEW, "share": 0.25})
        (card,) = (await client.get("/v1/models")).json()["data"]
        assert card["version"] == V_OLD, "a card is no sample: it is of the version that gets the rest"
        assert card["versions"] == [
            {"version": V_OLD, "state": "ready", "share": 0.75},
            {"version": V_NEW, "state": "ready", "share": 0.25},
        ]
        new = (await client.get(f"/v1/models/tiny@{V_NEW}")).json()
        assert (new["id"], new["version"], new["versions"]) == ("tiny", V_NEW, card["versions"])

    play(tmp_path, scene)


def test_v2_lists_every_version_and_asks_the_one_that_is_named(tmp_path):
    old, new = str(int(V_OLD, 16)), str(int(V_NEW, 16))

    async def scene(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2/models/tiny")).json()["versions"] == [old, new]
        index = (await client.post("/v2/repository/index")).json()
        assert [(one["name"], one["version"], one["state"]) for one in index] == [
            ("tiny", old, "READY"),
            ("tiny", new, "READY"),
        ]
        asked: dict[str, Any] = {"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [3]}]}

        async def answered(path: str, **fields: str) -> str:
            response = await client.post(path, json=asked | fields)
            assert response.status_code == 200, response.text
            return response.json()["model_version"]

        assert await answered("/v2/models/tiny/infer") == old
        for version in (new, V_NEW):
            assert await answered(f"/v2/models/tiny/versions/{version}/infer") == new
            assert await answered("/v2/models/tiny/infer", model_version=version) == new
            assert (await client.get(f"/v2/models/tiny/versions/{version}/ready")).json()["ready"]
            config = (await client.get(f"/v2/models/tiny/versions/{version}/config")).json()
            assert config["parameters"]["version"]["string_value"] == V_NEW
        differs = await client.post(
            f"/v2/models/tiny/versions/{new}/infer", json=asked | {"model_version": old}
        )
        assert differs.status_code == 404
        assert old in differs.json()["error"]
        await client.post("/v1/admin/models/tiny", json={"version": V_NEW})
        assert await answered("/v2/models/tiny/infer") == new

    play(tmp_path, scene)
