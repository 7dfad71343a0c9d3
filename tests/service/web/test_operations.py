from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.errors import LocalOnly
from service.models import Models
from service.settings import Settings
from service.web.operations import DRAIN, require_operator
from tests.generators import Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused


def test_alive_is_alive_whatever_the_models_do(tmp_path):
    site = Site(Models(Settings(models=tmp_path / "nowhere")))
    for path in ("/livez", "/healthz"):
        assert site.get(path).status_code == 200


def test_ready_means_that_every_model_is(site):
    response = site.get("/readyz")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    states = {"bare": "ready", "colour": "ready", "tiny": "ready"}
    assert response.json() == {"ready": True, "draining": False, "models": states}


def test_one_model_that_failed_makes_the_service_not_ready_while_the_others_serve(tmp_path):
    with loaded(tmp_path, {"broken": b"", "good": Tiny().file()}, threads=1) as models:
        site = Site(models)
        response = site.get("/readyz")
        assert response.status_code == 503
        assert response.json()["models"] == {"broken": "failed", "good": "ready"}
        assert site.samples(model="good").status_code == 200


def test_a_draining_service_is_not_ready_and_still_answers(tmp_path):
    with loaded(tmp_path, {"good": Tiny().file()}, threads=1) as models:
        site = Site(models)
        site.front.draining = True
        response = site.get("/readyz")
        assert (response.status_code, response.json()["draining"]) == (503, True)
        assert site.samples().status_code == 200


def test_draining_turns_readiness_off_and_ends_the_server_however_often_it_is_asked(tmp_path):
    with loaded(tmp_path, {"good": Tiny().file()}, threads=1, drain_seconds=7) as models:
        site = Site(models)
        ends = []
        site.front.end = lambda: ends.append(site.front.draining)
        for _ in range(2):
            response = site.ask("POST", DRAIN, headers={"host": "localhost"})
            assert (response.status_code, response.json()) == (202, {"draining": True, "grace_seconds": 7})
        assert ends == [True, True]
        assert site.get("/readyz").status_code == 503
        assert site.samples().status_code == 200


@pytest.mark.parametrize(
    ("client", "headers", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.0.0.1", {}, False),
        ("::ffff:10.0.0.1", {}, False),
        ("testclient", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"x-real-ip": "10.0.0.1"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
        ("127.0.0.1", {"origin": "null"}, False),
        *(
            ("127.0.0.1", {"host": host}, True)
            for host in ("localhost", "LocalHost", "127.8.8.8:1", "[::1]:3000")
        ),
        *(
            ("127.0.0.1", {"host": host}, False)
            for host in ("example.com", "localhost.example.com", "0.0.0.0", "")
        ),
        *(("127.0.0.1", {"host": host}, False) for host in ("localhost@example.com", "10.0.0.1", "[", "::1")),
    ],
)
def test_only_a_program_on_this_machine_that_asks_for_itself_is_local(client, headers, allowed):
    scope: dict[str, Any] = {
        "client": (client, 1234) if client else None,
        "headers": [
            (name.encode(), value.encode()) for name, value in ({"host": "localhost"} | headers).items()
        ],
    }
    call: Any = SimpleNamespace(scope=scope, charge=None)
    if allowed:
        require_operator(call)
    else:
        with pytest.raises(LocalOnly, match="machine itself"):
            require_operator(call)


def test_without_models_the_service_says_where_it_looked(tmp_path):
    site = Site(Models(Settings(models=tmp_path / "nowhere")))
    response = site.get("/readyz")
    assert response.status_code == 503
    assert "nowhere" in response.json()["problem"]
    assert "nowhere" in refused(site.samples(), 503, "not_ready")
    assert site.get("/v1/models").json() == {"object": "list", "data": []}


def test_metrics_are_in_prometheus_text_format(site):
    site.samples()
    response = site.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "ganserve_requests" in {family.name for family in text_string_to_metric_families(response.text)}
