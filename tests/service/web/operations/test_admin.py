"""/v1/admin, in process, with one worker."""

import hashlib
import json
import time
from typing import Any

import httpx
import pytest

from service.keys import Entry, Keyring
from service.settings import Settings
from service.web.openapi import document
from service.web.routes import ROUTES
from tests.service.web.operations.ordered import TOKEN, V_NEW, V_OLD, play
from tests.service.web.site import Site, refused


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
