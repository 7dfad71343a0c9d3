"""Which pages of other origins may read replies."""

from dataclasses import replace
from typing import Any

import pytest

from service.registry.models import Models
from tests.service.web.http.keyed import bearer, ring
from tests.service.web.site import Site

OTHER = "https://shop.example.com"
PREFLIGHT = {
    "origin": OTHER,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def with_origins(site: Site, origins: str, **options: Any) -> Site:
    models = Models(replace(site.front.models.settings, cors_origins=origins))
    models._models, models.batcher = site.front.models._models, site.front.models.batcher
    return Site(models, **options)


def test_pages_of_other_origins_read_nothing_unless_they_are_set(site):
    assert site.ask("OPTIONS", "/v1/samples", headers=PREFLIGHT).status_code == 405
    for method, path in (("POST", "/v1/samples"), ("GET", "/v1/models"), ("GET", "/nope")):
        response = site.ask(method, path, headers={"origin": OTHER})
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_pages_of_set_origins_may_ask_with_a_key_and_read_replies_and_errors(site):
    one = with_origins(site, f"{OTHER},http://localhost:8080", keyring=ring())
    preflight = one.ask("OPTIONS", "/v1/samples", headers=PREFLIGHT)
    assert preflight.status_code == 200, "without a key, which browsers don't send there"
    assert preflight.headers["access-control-allow-origin"] == OTHER
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in preflight.headers
    for headers, status in ((bearer("drawer"), 200), ({}, 401)):
        response = one.ask("POST", "/v1/samples", json={}, headers=headers | {"origin": OTHER})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, OTHER)
        assert "origin" in response.headers["vary"].lower()
    assert "ganserve-seeds" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", OTHER + ".evil.com", OTHER.upper(), "null", OTHER + ":8443"]
)
def test_an_origin_that_is_not_set_is_told_nothing(site, origin):
    one = with_origins(site, OTHER)
    refusal = one.ask("OPTIONS", "/v1/samples", headers=PREFLIGHT | {"origin": origin})
    assert refusal.status_code == 400
    assert "access-control-allow-origin" not in refusal.headers
    assert "access-control-allow-origin" not in one.get("/v1/models", headers={"origin": origin}).headers


def test_a_star_is_every_origin(site):
    one = with_origins(site, "*")
    assert (
        one.get("/v1/models", headers={"origin": "https://any.example"}).headers[
            "access-control-allow-origin"
        ]
        == "*"
    )
