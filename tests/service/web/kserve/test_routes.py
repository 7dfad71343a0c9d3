import asyncio
import gzip
import io
import json
import threading
import time
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from service.generator.engines.fake import FakeEngine
from service.generator.latents import latents
from service.web.http.bodies import inflate
from service.web.kserve.inference import response_coding
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.kserve.test_tensors import binary, tensor
from tests.service.web.site import Site
from tests.waiting import until

TINY = "/v2/models/tiny"


def ask(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": list(inputs)} | fields


def pixels(response: httpx.Response) -> np.ndarray:
    """The images of a reply, whichever way they came."""
    assert response.status_code == 200, response.text
    length = response.headers.get("inference-header-content-length")
    document = json.loads(response.content[: None if length is None else int(length)])
    (output,) = document["outputs"]
    assert (output["name"], output["datatype"]) == ("image", "UINT8")
    if length is None:
        assert response.headers["content-type"] == "application/json"
        return np.array(output["data"], np.uint8).reshape(output["shape"])
    assert response.headers["content-type"] == "application/octet-stream"
    content = response.content[int(length) :]
    assert output["parameters"] == {"binary_data_size": len(content)}
    return np.frombuffer(content, np.uint8).reshape(output["shape"])


def samples(site: Site, **fields: Any) -> np.ndarray:
    """What /v1 answers, as NCHW."""
    response = site.samples(format="npy", **fields)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False).transpose(0, 3, 1, 2)


def refused(response: httpx.Response, status: int, code: str) -> str:
    """Asserts that a reply is this error, in the protocol's shape; returns its text."""
    assert response.headers["content-type"] == "application/json"
    assert (response.status_code, response.headers["ganserve-error"]) == (status, code), response.text
    assert list(response.json()) == ["error"]
    return response.json()["error"]


def test_the_server_says_what_it_is(site):
    assert site.get("/v2/health/live").json() == {"live": True}
    assert site.get("/v2/health/ready").json() == {"ready": True}
    server = site.get("/v2").json()
    assert server["name"] == "ganserve"
    assert {"binary_tensor_data", "statistics", "model_configuration"} <= set(server["extensions"])
    assert site.ask("HEAD", "/v2").status_code == 200


def test_metadata_and_config_name_the_same_tensors(site):
    metadata = site.get("/v2/models/colour").json()
    assert metadata["name"] == "colour"
    assert metadata["inputs"] == [
        {"name": "z", "datatype": "FP32", "shape": [-1, 8]},
        {"name": "seed", "datatype": "INT64", "shape": [-1]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ]
    (output,) = metadata["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("image", "UINT8", [-1, 3, 8, 8])
    assert output["parameters"] == {"layout": "NCHW"}
    config = site.get("/v2/models/colour/config").json()
    assert config["max_batch_size"] == 64
    assert config["dynamic_batching"]["preferred_batch_size"] == [
        site.front.models["colour"].loaded.max_batch
    ]
    assert config["backend"] == "openvino"
    for kind in ("input", "output"):
        described = [
            (one["name"], "TYPE_" + one["datatype"], one["shape"][1:]) for one in metadata[f"{kind}s"]
        ]
        assert [(one["name"], one["data_type"], one["dims"]) for one in config[kind]] == described
    assert [one["name"] for one in site.get("/v2/models/bare").json()["inputs"]] == ["z", "seed"]


def test_a_version_is_a_whole_number_and_the_other_name_is_taken_too(site):
    ours = site.front.models["tiny"].version
    (version,) = site.get(TINY).json()["versions"]
    assert int(version) == int(ours, 16)
    for one in (version, ours):
        for what in ("", "/ready", "/config", "/stats"):
            assert site.get(f"{TINY}/versions/{one}{what}").status_code == 200
        response = site.ask("POST", f"{TINY}/versions/{one}/infer", json=ask(tensor("seed", [1])))
        assert response.json()["model_version"] == version
    for what in ("", "/ready", "/config", "/stats"):
        assert version in refused(site.get(f"{TINY}/versions/1{what}"), 404, "unknown_model")
    refused(site.ask("POST", f"{TINY}/versions/1/infer", json=ask(tensor("seed", [1]))), 404, "unknown_model")


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
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/", 404, "unknown_route"),
        ("GET", "/v2/nothing", 404, "unknown_route"),
        ("GET", "/v2/models", 404, "unknown_route"),
        ("GET", "/v2/models//ready", 404, "unknown_route"),
        ("GET", "/v2/logging", 404, "unknown_route"),
        ("POST", "/v2/models/tiny", 405, "method_not_allowed"),
        ("GET", "/v2/models/tiny/infer", 405, "method_not_allowed"),
        ("GET", "/v2/models/none", 404, "unknown_model"),
        ("GET", "/v2/models/none/ready", 404, "unknown_model"),
        ("GET", "/v2/models/none/config", 404, "unknown_model"),
        ("GET", "/v2/models/none/stats", 404, "unknown_model"),
        ("GET", "/v2/models/%2e%2e%2ftiny", 404, "unknown_model"),
        ("GET", "/v2/models/%ff", 404, "unknown_model"),
        ("POST", "/v2/models/none/infer", 404, "unknown_model"),
        ("POST", "/v2/repository/models/tiny/load", 403, "local_only"),
        ("POST", "/v2/models/tiny/infer", 400, "not_json"),
    ],
)
def test_every_error_has_the_protocols_shape(site, method, path, status, code):
    response = site.ask(method, path)
    assert refused(response, status, code)
    assert status != 405 or response.headers["allow"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("none/load", 404, "unknown_model"),
        ("tiny/load", 400, "bad_request"),
        ("tiny/unload", 400, "bad_request"),
    ],
)
def test_models_are_not_loaded_here_whoever_asks(site, path, status, code):
    own = Site(site.front.models, token="t")
    headers = {"authorization": "Bearer t"}
    refused(own.ask("POST", f"/v2/repository/models/{path}", headers=headers), status, code)


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


def test_other_paths_keep_their_own_shape(site):
    assert site.get("/v2x").headers["content-type"] == "application/problem+json"


def test_an_unexpected_error_is_answered_in_shape_and_logged(site, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("service.web.kserve.models.metadata", fail)
    text = refused(site.get(TINY), 500, "internal_error")
    assert "KeyError" in text
    assert "no such thing" not in text
    assert text.split()[-1].strip(".") in caplog.text


def test_the_index_lists_all_models_and_ready_ones(tmp_path):
    with loaded(tmp_path, {"bad": b"no model", "tiny": Tiny().file()}, engine="openvino") as models:
        site = Site(models)
        bad, tiny = site.ask("POST", "/v2/repository/index").json()
        assert (bad["name"], bad["state"]) == ("bad", "UNAVAILABLE")
        assert "not an ONNX file" in bad["reason"]
        assert tiny == {
            "name": "tiny",
            "state": "READY",
            "reason": "",
            "version": str(int(models["tiny"].version, 16)),
        }
        assert site.ask("POST", "/v2/repository/index", json={"ready": True}).json() == [tiny]
        refused(site.ask("POST", "/v2/repository/index", json={"redy": True}), 400, "invalid_field")
        refused(site.ask("POST", "/v2/repository/index", content=b"{"), 400, "not_json")
        response = site.get("/v2/models/bad/ready")
        assert (response.status_code, response.json()) == (503, {"name": "bad", "ready": False})
        assert site.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
        assert site.get("/v2/health/ready").status_code == 503
        for what in ("", "/config", "/stats"):
            assert "not an ONNX file" in refused(site.get(f"/v2/models/bad{what}"), 503, "not_ready")
        refused(site.ask("POST", "/v2/models/bad/infer", json=ask(tensor("seed", [1]))), 503, "not_ready")
        assert [one["name"] for one in site.get("/v2/models/stats").json()["model_stats"]] == ["tiny"]


def test_a_draining_server_is_live_and_not_ready(site):
    draining = Site(site.front.models)
    draining.front.draining = True
    assert draining.get("/v2/health/live").status_code == 200
    assert draining.get("/v2/health/ready").status_code == 503


def stats_of(site: Site) -> dict[str, Any]:
    (one,) = site.get(f"{TINY}/stats").json()["model_stats"]
    return one


class Stage:
    """A site on a fake engine that waits at a gate, fails on label 9, and notes how large its passes were."""

    def __init__(self, models: Any, gate: threading.Event, passes: list[int]) -> None:
        self.site, self.models, self.gate, self.passes = Site(models), models, gate, passes


@pytest.fixture
def stage(tmp_path):
    gate, passes = threading.Event(), []
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate, on_pass=passes.append)
    limits = {"max_queue_images": 12, "max_images_per_request": 12, "timeout_seconds": 20}
    with loaded(tmp_path, {"tiny": tiny.file()}, engine, **limits) as models:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        passes.clear()
        yield Stage(models, gate, passes)
        gate.set()


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


def test_statistics_count_what_was_done(stage):
    before, begun = stats_of(stage.site), time.time() * 1e3
    for seeds in ([1, 2, 3], [4]):
        pixels(stage.site.ask("POST", f"{TINY}/infer", json=ask(tensor("seed", seeds))))
    failing = ask(tensor("seed", [1]), tensor("label", [9]))
    refused(stage.site.ask("POST", f"{TINY}/infer", json=failing), 500, "engine_failed")
    refused(stage.site.ask("POST", f"{TINY}/infer", json=ask(tensor("label", [1]))), 400, "invalid_field")
    after = stats_of(stage.site)
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["execution_count"] - before["execution_count"] == 2
    assert begun - 1 <= after["last_inference"] <= time.time() * 1e3 + 1
    deltas = {
        name: (
            after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"],
            after["inference_stats"][name]["ns"] - before["inference_stats"][name]["ns"],
        )
        for name in after["inference_stats"]
    }
    assert [deltas[name][0] for name in ("success", "fail", "queue", "compute_infer")] == [2, 1, 2, 2]
    assert deltas["success"][1] > deltas["compute_infer"][1] > 0
    assert deltas["cache_hit"] == deltas["cache_miss"] == (0, 0)


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
