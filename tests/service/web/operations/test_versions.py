"""What the routes make of several versions of a model; in process, with one worker."""

from typing import Any

import httpx

from tests.service.web.operations.ordered import V_NEW, V_OLD, play
from tests.service.web.site import refused


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
