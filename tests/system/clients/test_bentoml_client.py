"""BentoML's own clients against a real server; and what of BentoML's protocol stays refused."""

import asyncio
import gzip
import io
import pickle
import warnings
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import pytest
from bentoml.exceptions import BentoMLException, NotFound, UnprocessableEntity

from tests import generators
from tests.generators import Tiny
from tests.system.gate import Gate
from tests.system.serving import Server, serving
from tests.waiting import until

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # two of BentoML's own
    from bentoml import AsyncHTTPClient, SyncHTTPClient


@pytest.fixture(scope="module")
def client(server):
    with SyncHTTPClient(server.url) as one:
        yield one
    one._temp_dir.cleanup()  # it leaves that to the garbage collector, with a warning


def samples(server: Server, **fields: Any) -> np.ndarray:
    return np.load(io.BytesIO(server.samples(format="npy", **fields).content), allow_pickle=False)


def test_an_array_comes_back_with_the_pixels_of_samples(server, client):
    array = client.sample(model="colour", label="Sneaker", n=5, seed=3, truncation=0.5)
    assert (array.dtype, array.shape) == (np.uint8, (5, 16, 16, 3))
    wanted = samples(server, model="colour", label="Sneaker", n=5, seed=3, truncation=0.5)
    np.testing.assert_array_equal(array, wanted)


def test_every_argument_has_a_default_and_labels_are_names_slugs_or_indexes(server, client):
    assert client.sample().shape == (1, 8, 8, 1)
    by_name, by_slug, by_index = (client.sample(label=label, seed=1) for label in ("Bag", "bag", 8))
    np.testing.assert_array_equal(by_name, by_slug)
    np.testing.assert_array_equal(by_name, by_index)
    np.testing.assert_array_equal(client.sample(n=12, seed=5), samples(server, n=12, seed=5))
    np.testing.assert_array_equal(
        client.sample("bare", None, 2, 7), samples(server, model="bare", n=2, seed=7)
    )


def test_the_asynchronous_client_shares_forward_passes(server):
    async def ask() -> list[np.ndarray]:
        async with AsyncHTTPClient(server.url) as one:
            arrays = await asyncio.gather(
                *(one.sample(model="slow", label=7, seed=seed) for seed in range(32))
            )
        one._temp_dir.cleanup()
        return arrays

    before = server.metric("ganserve_forward_passes_total", model="slow")
    arrays = asyncio.run(ask())
    assert server.metric("ganserve_forward_passes_total", model="slow") - before < 32
    np.testing.assert_array_equal(
        np.concatenate(arrays), samples(server, model="slow", label=7, seed=0, n=32)
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "status", "says"),
    [
        ({"model": "none"}, NotFound, 404, "unknown_model"),
        ({"label": "shoe"}, UnprocessableEntity, 422, "T-shirt/top, Trouser"),
        ({"label": 10}, UnprocessableEntity, 422, "0 to 9"),
        ({"label": 1.5}, UnprocessableEntity, 422, "label"),
        ({"n": 0}, UnprocessableEntity, 422, ">= 1"),
        ({"n": 257}, UnprocessableEntity, 422, "1 to 256"),
        ({"n": "3"}, UnprocessableEntity, 422, "int"),
        ({"seed": -1}, UnprocessableEntity, 422, ">= 0"),
        ({"truncation": 2}, UnprocessableEntity, 422, "<= 1"),
        ({"timeout": 1e-9}, BentoMLException, 504, "deadline_passed"),
    ],
)
def test_a_mistake_is_an_exception_with_its_status_and_what_is_allowed(client, arguments, kind, status, says):
    with pytest.raises(kind) as error:
        client.sample(**arguments)
    assert error.value.error_code == HTTPStatus(status)
    assert says in str(error.value)


def test_the_client_knows_which_arguments_there_are_and_what_comes_back(client):
    (sample,) = client.endpoints.values()
    assert sample.input["properties"]["label"]["type"] == "string"
    assert sample.output == {"type": "tensor", "format": "numpy-array", "dtype": "uint8"}
    with pytest.raises(TypeError, match="colour"):
        client.sample(colour="red")


class Evil:
    """Unpickled, it ends the process."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os._exit, (3,)


MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\ncontent-disposition: form-data; name="n"\r\n\r\n1\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/vnd.bentoml+pickle", pickle.dumps(Evil())), (MULTIPART, PART),
     ("application/x-www-form-urlencoded", b"n=1"), ("application/octet-stream", b"{}")],
)  # fmt: skip
def test_what_bentoml_would_read_beside_json_is_refused(server, content_type, body):
    with server.client() as http:
        headers = {"content-type": content_type, "buffer-lengths": str(len(body))}
        response = http.post("/sample", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert server.samples().status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/sample", b'{"n": 1, "path": "/etc/passwd"}', 422, "invalid_field"),
        ("POST", "/sample", b"{", 400, "not_json"),
        ("POST", "/sample", b"[]", 422, "invalid_field"),
        ("POST", "/sample", bytes(4 * 2**20 + 1), 413, "body_too_large"),
        ("GET", "/sample", None, 405, "method_not_allowed"),
        ("POST", "/schema.json", b"{}", 405, "method_not_allowed"),
        ("POST", "/sample/submit", b"{}", 404, "unknown_route"),
        ("GET", "/docs.json", None, 404, "unknown_route"),
    ],
)
def test_a_request_by_hand_meets_the_same_limits(server, method, path, body, status, code):
    with server.client() as http:
        response = http.request(method, path, content=body)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_reply_names_its_address_and_is_counted(server):
    before = server.metric("ganserve_requests_total", route="/sample", code="200")
    with server.client() as http:
        headers = http.post("/sample", json={"label": 7, "n": 2, "seed": 5}).headers
    assert (headers["ganserve-model"], headers["ganserve-labels"], headers["ganserve-seeds"]) == (
        "tiny",
        "7",
        "5-6",
    )
    assert server.metric("ganserve_requests_total", route="/sample", code="200") == before + 1


def test_a_client_that_leaves_frees_its_place_in_the_queue(tmp_path):
    faults = tmp_path / "faults"
    faults.write_text("0.02")
    models = generators.folder(tmp_path / "models", {"slow": Tiny(golden_samples=0).file()})
    settings = {"engine": "fake", "fake_faults": faults, "threads": 1, "max_batch": 8, "max_wait_seconds": 60}

    async def play(server: Server) -> None:
        # It is asked whether a client is still there after 0.25 and 0.75 s: by then two fast cores would have done it all.
        gate = Gate(faults)
        gate.close()
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
            asked = [asyncio.ensure_future(http.post("/sample", json={"n": 256})) for _ in range(2)]
            await until(gate.is_reached)
            await until(lambda: server.metric("ganserve_queue_images") == 2 * 256 - 8)
            for one in asked:
                one.cancel()
        await until(lambda: server.metric("ganserve_dropped_total", reason="disconnect") == 2)
        await until(lambda: server.metric("ganserve_queue_images") == 0)
        gate.open("", then="")

    with serving(tmp_path / "home", models=models, **settings) as server:
        asyncio.run(play(server))


def test_past_the_servers_deadline_the_refusal_is_ours_and_not_bentomls(tmp_path):
    models = generators.folder(tmp_path / "models", {"slow": Tiny(burn=512, golden_samples=1).file()})
    settings = {"models": models, "engine": "onnxruntime", "timeout_seconds": 0.3}
    with serving(tmp_path / "home", **settings) as server, server.client() as http:
        response = http.post("/sample", json={"n": 256})
        assert (response.status_code, response.json()["code"]) == (504, "deadline_passed")
        assert http.post("/sample", json={}).status_code == 200


def test_a_body_is_understood_as_by_the_other_routes(server):
    """BentoML behind us reads neither compressed bodies nor integers that are written as floats."""
    body = gzip.compress(b'{"label": 8.0, "n": 2e0, "seed": 1.0}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    with server.client() as client:
        reply = client.post("/sample", content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    np.testing.assert_array_equal(np.array(reply.json()), samples(server, n=2, seed=1, label=8))
