"""POST /v2/models/{model}/infer: the images, and bodies of every coding."""

import asyncio
import gzip
import io
import json
import time
import zlib
from typing import Any

import numpy as np
import pytest

from service.generator.latents import latents
from service.web.http.bodies import inflate
from service.web.kserve.inference import response_coding
from tests.service.web.kserve.asking import TINY, ask, pixels, refused
from tests.service.web.kserve.tensors import binary, tensor
from tests.service.web.site import Site
from tests.waiting import until


def samples(site: Site, **fields: Any) -> np.ndarray:
    """What /v1 answers, as NCHW."""
    response = site.samples(format="npy", **fields)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("in_binary", [False, True])
def test_images_are_those_of_samples_whatever_the_seeds(site, in_binary):
    for model in ("tiny", "colour", "bare"):
        seeds, labels = [40, 3, 3, 2**53 - 1], None if model == "bare" else [7, 0, 9, 7]
        inputs = [tensor("seed", seeds)] + ([] if labels is None else [tensor("label", labels)])
        parameters = {"truncation": 0.6, "binary_data_output": in_binary}
        images = pixels(
            site.ask("POST", f"/v2/models/{model}/infer", json=ask(*inputs, parameters=parameters))
        )
        for i, seed in enumerate(seeds):
            label = {} if labels is None else {"label": labels[i]}
            np.testing.assert_array_equal(
                images[i : i + 1], samples(site, model=model, seed=seed, truncation=0.6, **label)
            )
    np.testing.assert_array_equal(
        pixels(site.ask("POST", f"{TINY}/infer", json=ask(tensor("seed", [14, 15, 16])))),
        samples(site, seed=14, n=3),
    )


def test_z_in_binary_gives_the_images_of_its_seeds(site):
    z, label = latents(range(5, 9), 8), np.array([1, 2, 3, 4])
    head = json.dumps(ask(binary("z", z), binary("label", label))).encode()
    headers = {"inference-header-content-length": str(len(head))}
    body = head + z.tobytes() + label.tobytes()
    response = site.ask("POST", f"{TINY}/infer", content=body, headers=headers)
    np.testing.assert_array_equal(pixels(response), samples(site, seed=5, label=[1, 2, 3, 4]))


def test_the_reply_names_request_model_and_version(site):
    response = site.ask("POST", f"{TINY}/infer", json=ask(tensor("seed", [1]), id="a/7"))
    assert (response.json()["id"], response.json()["model_name"]) == ("a/7", "tiny")
    assert response.headers["ganserve-version"] == site.front.models["tiny"].version
    assert "forward;dur=" in response.headers["server-timing"]
    assert "id" not in site.ask("POST", f"{TINY}/infer", json=ask(tensor("seed", [1]))).json()


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/octet-stream", "application/x-www-form-urlencoded"],
)
def test_the_content_type_does_not_matter(site, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    body = json.dumps(ask(tensor("seed", [1]))).encode()
    assert site.ask("POST", f"{TINY}/infer", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_are_compressed_both_ways(site, coding, compress):
    seeds = np.arange(20)
    head = json.dumps(ask(binary("seed", seeds), parameters={"binary_data_output": True})).encode()
    headers = {"inference-header-content-length": str(len(head)), "accept-encoding": "identity"}
    plain = site.ask("POST", f"{TINY}/infer", content=head + seeds.tobytes(), headers=headers)
    assert "content-encoding" not in plain.headers
    headers |= {"content-encoding": coding, "accept-encoding": coding}
    body = compress(head + seeds.tobytes())
    packed = site.ask("POST", f"{TINY}/infer", content=body, headers=headers)
    assert packed.headers["content-encoding"] == coding
    assert int(packed.headers["content-length"]) < len(plain.content)
    np.testing.assert_array_equal(pixels(packed), pixels(plain))


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        (None, None), ("", None), ("*", None), ("br", None), ("gzip", "gzip"), ("GZIP", "gzip"), ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"), ("deflate, gzip", "deflate"), ("deflate;q=0.5, gzip", "gzip"),
        ("gzip;q=0", None), ("identity, gzip", None), ("gzip;q=0.5, identity;q=0.4", "gzip"), ("gzip;x", None),
        ("gzip;q=nan", None), ("gzip;q=2", None),
    ],
)  # fmt: skip
def test_a_reply_is_compressed_as_the_client_likes_best(accepts, coding):
    assert response_coding(accepts) == coding


def test_a_bomb_is_stopped_at_the_limit(site):
    limit = site.front.models.settings.max_body_bytes
    bomb = gzip.compress(bytes(100 * limit))
    assert len(bomb) < limit
    response = site.ask("POST", f"{TINY}/infer", content=bomb, headers={"content-encoding": "gzip"})
    assert str(limit) in refused(response, 413, "body_too_large")
    body = json.dumps(ask(tensor("seed", [1]))).encode()
    exact = gzip.compress(body + b" " * (limit - len(body)))
    assert inflate(exact, "gzip", limit)[: len(body)] == body
    assert (
        site.ask("POST", f"{TINY}/infer", content=exact, headers={"content-encoding": "gzip"}).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("br", b"{}", 415, "unsupported_media_type"),
        ("gzip, gzip", b"{}", 415, "unsupported_media_type"),
        ("x" * 5000, b"{}", 415, "unsupported_media_type"),
        ("gzip", b"{}", 400, "invalid_field"),
        ("gzip", b"", 400, "invalid_field"),
        ("deflate", gzip.compress(b"{}", mtime=0), 400, "invalid_field"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], 400, "invalid_field"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400, "invalid_field"),
        ("identity", b"{}", 400, "invalid_field"),
    ],
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(site, coding, body, status, code):
    headers = {"content-encoding": coding}
    response = site.ask("POST", f"{TINY}/infer", content=body, headers=headers)
    assert len(refused(response, status, code)) < 500
    assert status != 415 or response.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ask(), 400),
        (ask(tensor("seed", [-1])), 400),
        (ask(tensor("seed", [1]), parameters={"truncation": 2}), 400),
        (ask(tensor("seed", [1]), outputs=[{"name": "logits"}]), 400),
        (ask(tensor("seed", [1]), model_name="colour"), 404),
        (ask(tensor("seed", [1]), model_version="1"), 404),
        (ask(tensor("seed", [1]), model_name="tiny", outputs=[{"name": "image"}]), 200),
    ],
)
def test_what_a_request_may_not_ask_for_is_refused(site, body, status):
    assert site.ask("POST", f"{TINY}/infer", json=body).status_code == status


def test_a_body_over_the_limit_is_refused(site):
    limit = site.front.models.settings.max_body_bytes
    response = site.ask("POST", f"{TINY}/infer", content=b" " * (limit + 1))
    refused(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"


def test_requests_of_both_protocols_share_forward_passes(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            first = asyncio.ensure_future(client.post("/v1/samples", json={"label": 0}))
            await until(lambda: stage.passes == [1])
            rest = [
                asyncio.ensure_future(client.post("/v1/samples", json={"label": 0, "n": 2})),
                asyncio.ensure_future(client.post(f"{TINY}/infer", json=ask(tensor("seed", [1, 5, 3])))),
                asyncio.ensure_future(client.post(f"{TINY}/infer", json=ask(tensor("seed", [8])))),
            ]
            await until(lambda: stage.models.batcher.accepted_images == 7)
            stage.gate.set()
            replies = await asyncio.gather(first, *rest)
            assert [reply.status_code for reply in replies] == [200] * 4
        assert stage.passes == [1, 6]

    asyncio.run(play())


def test_a_timeout_is_in_microseconds(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            begun = time.monotonic()
            body = ask(tensor("seed", [1]), parameters={"timeout": 50_000})
            refused(await client.post(f"{TINY}/infer", json=body), 504, "deadline_passed")
            assert 0.04 < time.monotonic() - begun < 5
        stage.gate.set()
        async with stage.site.client() as client:
            for timeout in (0, 10**12):
                body = ask(tensor("seed", [1]), parameters={"timeout": timeout})
                assert (await client.post(f"{TINY}/infer", json=body)).status_code == 200

    asyncio.run(play())


def test_a_full_queue_answers_429_and_says_when_to_come_back(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            body = ask(tensor("seed", list(range(8))))
            waiting = asyncio.ensure_future(client.post(f"{TINY}/infer", json=body))
            await until(lambda: stage.models.batcher.accepted_images == 8)
            response = await client.post(f"{TINY}/infer", json=body)
            refused(response, 429, "queue_full")
            assert int(response.headers["retry-after"]) >= 1
            stage.gate.set()
            assert (await waiting).status_code == 200

    asyncio.run(play())
