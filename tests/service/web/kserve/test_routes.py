import time
from typing import Any

import pytest

from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.kserve.asking import TINY, ask, pixels, refused
from tests.service.web.kserve.tensors import tensor
from tests.service.web.site import Site


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
