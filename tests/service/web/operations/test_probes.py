from prometheus_client.parser import text_string_to_metric_families

from service.registry.models import Models
from service.settings import Settings
from service.web.operations.probes import DRAIN
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
        site = Site(models, token="t")
        ends = []
        site.front.end = lambda: ends.append(site.front.draining)
        for _ in range(2):
            response = site.ask("POST", DRAIN, headers={"authorization": "Bearer t"})
            assert (response.status_code, response.json()) == (202, {"draining": True, "grace_seconds": 7})
        assert ends == [True, True]
        assert site.get("/readyz").status_code == 503
        assert site.samples().status_code == 200


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
