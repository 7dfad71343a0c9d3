import asyncio
import logging

import msgspec
import pytest
from prometheus_client import REGISTRY

from service.web import routes
from service.web.routes import ROUTES
from tests.service.web.site import Site, refused


def counted(route: str, code: int) -> float:
    labels = {"route": route, "code": str(code)}
    return REGISTRY.get_sample_value("ganserve_requests_total", labels) or 0


def series() -> set:
    """Every label set of every metric of ours."""
    return {
        (sample.name, *sample.labels.items())
        for family in REGISTRY.collect()
        if family.name.startswith("ganserve_")
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "path",
    ["/nope", "/v1", "/v1/", "/v1/samples/", "/v1/models/", "/v1/models/a/images", "/schema.json", "/docs.json",
     "/%00", "/%ff%fe", "/v1/models/a/images/b/c/d", "/" + "x" * 5000, "/static_content"],
)  # fmt: skip
def test_an_unknown_path_is_not_found(site, path):
    before = counted("unknown", 404)
    assert len(refused(site.get(path), 404, "unknown_route")) < 500
    assert counted("unknown", 404) == before + 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_not_allowed_and_the_allowed_ones_are_named(site, method):
    response = site.ask(method, "/v1/models")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD"
    assert site.ask(method, "/v1/samples").headers["allow"] == "POST"
    assert site.ask(method, "/").headers["allow"] == "GET, HEAD, POST"


def test_get_does_not_sample_and_post_does_not_read(site):
    refused(site.get("/v1/samples"), 405, "method_not_allowed")
    assert site.ask("HEAD", "/v1/samples").status_code == 405
    refused(site.ask("POST", "/readyz"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1/models", "/v1/models/tiny", "/openapi.json", "/docs", "/"]
)
def test_head_has_the_status_and_headers_of_get(site, path):
    head, get = site.ask("HEAD", path), site.get(path)
    assert head.headers.pop("x-request-id") != get.headers.pop("x-request-id")
    assert (head.status_code, dict(head.headers)) == (get.status_code, dict(get.headers))


def test_requests_are_counted_by_pattern_and_status(site):
    route = "/v1/models/{model}/images/{label}/{file}"
    before = counted(route, 307), counted(route, 404), counted("/v1/samples", 422)
    site.get("/v1/models/tiny/images/bag/1.png")
    site.get("/v1/models/none/images/bag/1.png")
    site.samples(n=0)
    after = counted(route, 307), counted(route, 404), counted("/v1/samples", 422)
    assert after == tuple(count + 1 for count in before)


def test_nothing_that_a_client_sends_makes_a_new_time_series(site):
    def visit(mark: str) -> None:
        site.get(f"/{mark}")
        site.get(f"/v1/models/{mark}")
        site.get(f"/v1/models/tiny/images/{mark}/1.png")
        site.get(f"/v1/models/tiny/images/bag/1.png?{mark}={mark}")
        site.ask(mark.upper(), "/livez")
        site.samples(model=mark)
        site.samples(label=mark)
        site.samples(format=mark)
        site.samples(**{mark: 1})
        site.samples(seed=len(mark), timeout=1e-9)
        site.post(b"{}", content_type=f"text/{mark}")

    site.get("/metrics")  # which one of the marks asks for
    visit("first")
    known = series()
    for mark in ("second", "x" * 300, "metrics"):
        visit(mark)
    assert series() == known


def test_an_unexpected_failure_is_a_500_that_keeps_its_cause_to_the_log(site, monkeypatch, caplog):
    async def broken(call):
        raise KeyError("the secret path")

    livez = msgspec.structs.replace(routes._FIXED["/livez"]["GET"], handler=broken)
    monkeypatch.setitem(routes._FIXED["/livez"], "GET", livez)
    with caplog.at_level(logging.ERROR, "bentoml.ganserve.web"):
        detail = refused(site.get("/livez"), 500, "internal_error")
    assert "secret" not in detail
    assert "the secret path" in caplog.text
    assert detail.split()[-1].rstrip(".") in caplog.text


def test_what_is_bentomls_own_is_passed_on_with_our_content_types(site):
    fronted = Site(site.front.models, native=frozenset({"/sample"}))
    assert fronted.get("/static_content/swagger-ui.css").text == "bento"
    assert fronted.ask("POST", "/sample", json={}).text == "bento"
    response = fronted.ask("POST", "/sample", content=b"x", headers={"content-type": "multipart/form-data"})
    refused(response, 415, "unsupported_media_type")
    refused(site.ask("POST", "/sample", json={}), 404, "unknown_route")


def test_other_protocols_go_to_bentoml(site):
    seen = []

    async def bento(scope, receive, send):
        seen.append(scope["type"])

    async def play():
        front = Site(site.front.models, bento).front
        for kind in ("lifespan", "websocket"):
            await front({"type": kind, "path": "/"}, None, None)  # pyright: ignore[reportArgumentType]

    asyncio.run(play())
    assert seen == ["lifespan", "websocket"]


def test_every_route_has_its_own_pattern():
    patterns = [(route.method, route.path) for route in ROUTES]
    assert len(set(patterns)) == len(patterns)
