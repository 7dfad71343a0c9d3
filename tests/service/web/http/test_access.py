from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from service.keys import Keyring, keyring
from service.registry.models import Models
from service.settings import Settings
from service.web.openapi import document
from service.web.routes import ROUTES, scope_of
from tests.service.web.site import Site, refused

KEYS = {
    "drawer": "sample",
    "watcher": "metrics",
    "keeper": "admin",
    "all": "sample+metrics+admin",
}
SECRET = {name: f"{name}-0123456789abcdef" for name in KEYS}
NATIVE = frozenset({"/sample"})
PARTS = {"model": "tiny", "label": "bag", "file": "1.png", "version": "1"}


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRET[name]}"}


def ring() -> Keyring:
    found = keyring(Settings(api_keys=",".join(f"{name}:{SECRET[name]}:{KEYS[name]}" for name in KEYS)))
    assert found
    return found


@pytest.fixture(scope="module")
def kept(site):
    """The site with keys."""
    return Site(site.front.models, native=NATIVE, keyring=ring())


@pytest.fixture
def metered(site, tmp_path):
    """The site with a key whose quotas are small."""

    def start(**quotas: int) -> Site:
        path = tmp_path / "keys.toml"
        limits = "\n".join(f"{name} = {value}" for name, value in quotas.items())
        path.write_text(f'[[keys]]\nname = "drawer"\nkey = "{SECRET["drawer"]}"\n{limits}\n')
        return Site(site.front.models, native=NATIVE, keyring=keyring(Settings(api_keys_file=str(path))))

    return start


def ask(site: Site, method: str, path: str, name: str | None = None, **options: Any) -> httpx.Response:
    if method == "POST" and "json" not in options:
        options["json"] = {}
    return site.ask(method, path.format(**PARTS), headers={} if name is None else bearer(name), **options)


WANTED = {
    **dict.fromkeys(["/livez", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"]),
    **dict.fromkeys(["/", "/playground/{file}", "/docs", "/openapi.json"]),
    **dict.fromkeys(["/metrics", "/playground/pulse"], "metrics"),
    **dict.fromkeys(["/v1/admin/models", "/v1/admin/reload", "/v1/admin/drain"], "admin"),
    **dict.fromkeys(["/v1/admin/models/{model}", "/v1/admin/models/{model}/retire"], "admin"),
    "/v2/repository/models/{model}/load": "admin",
    "/v2/repository/models/{model}/unload": "admin",
    **{route.path: "admin" for route in ROUTES if route.path.startswith("/v1/admin/")},
}


@pytest.mark.parametrize(("method", "path"), [(route.method, route.path) for route in ROUTES])
def test_a_route_takes_the_keys_of_its_scope_and_no_others(kept, method, path, monkeypatch):
    monkeypatch.setattr(kept.front, "drain", lambda: None)
    scope = "sample" if (method, path) == ("POST", "/") else WANTED.get(path, "sample")
    if path == "/playground/pulse":  # it would not end
        monkeypatch.setattr(kept.front, "draining", True)
    if scope is None:
        assert ask(kept, method, path).status_code not in (401, 403)
        return
    assert ask(kept, method, path).status_code == 401
    for name, scopes in KEYS.items():
        status = ask(kept, method, path, name).status_code
        assert (status == 403) == (scope not in scopes.split("+")), (name, status)
        assert status != 401


def test_a_route_that_nobody_thought_of_is_for_admin():
    assert scope_of("/debug/everything") == "admin"
    assert scope_of("/v1/admin/drain") == "admin"
    assert scope_of("/static_content/") is None


def test_an_unknown_path_needs_no_key_to_be_unknown(kept):
    refused(kept.get("/nope"), 404, "unknown_route")


def test_without_keys_an_authorization_header_is_accepted_and_ignored(site):
    for headers in (bearer("drawer"), {"authorization": "Basic eDp5"}, {"x-api-key": "none"}):
        assert site.ask("POST", "/v1/samples", json={}, headers=headers).status_code == 200
        assert site.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer none-0123456789abcdef"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"authorization": "Basic ZHJhd2VyOng="},
        {"authorization": SECRET["drawer"]},
        {"authorization": "Bearer " + "x" * 5000},
        {"authorization": "Bearer é".encode("latin-1")},
        {"x-api-key": "none"},
        {"x-api-key": ""},
        # Only the first counts, whichever way a proxy would join them.
        [("authorization", "Bearer none"), ("authorization", f"Bearer {SECRET['drawer']}")],
        {"authorization": "Bearer none", "x-api-key": SECRET["drawer"]},
    ],
)
def test_a_key_that_is_not_known_is_401_and_is_not_repeated(kept, headers):
    response = kept.ask("POST", "/v1/samples", json={}, headers=headers)
    refused(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == 'Bearer realm="ganserve", error="invalid_token"'
    assert "none" not in response.text
    assert "xxx" not in response.text


@pytest.mark.parametrize(
    "header", ["authorization: Bearer KEY", "Authorization: bearer KEY", "X-Api-Key: KEY"]
)
def test_a_key_goes_in_either_header(kept, header):
    name, value = header.replace("KEY", SECRET["drawer"]).split(": ")
    assert kept.ask("POST", "/v1/samples", json={}, headers={name: value}).status_code == 200


def test_no_key_is_challenged_and_a_scope_that_lacks_is_named(kept):
    response = ask(kept, "POST", "/v1/samples")
    assert "Authorization: Bearer" in refused(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == 'Bearer realm="ganserve"'
    response = ask(kept, "POST", "/v1/samples", "watcher")
    assert "scope sample" in refused(response, 403, "missing_scope")
    assert 'error="insufficient_scope", scope="sample"' in response.headers["www-authenticate"]


def test_each_protocol_refuses_in_its_own_shape(kept):
    body = {"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [1]}]}
    response = ask(kept, "POST", "/v2/models/tiny/infer", json=body)
    assert (response.status_code, set(response.json())) == (401, {"error"})
    assert response.headers["ganserve-error"] == "invalid_api_key"
    assert response.headers["www-authenticate"].startswith("Bearer")
    for name, status, code in ((None, 401, "invalid_api_key"), ("watcher", 403, "missing_scope")):
        response = ask(kept, "POST", "/v1/images/generations", name, json={"prompt": "bag"})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_an_image_is_for_those_who_have_a_key_and_for_no_shared_cache(kept, site):
    version = site.front.models["tiny"].version
    path = f"/v1/models/tiny@{version}/images/bag/7.png"
    refused(kept.get(path), 401, "invalid_api_key")
    response = kept.get(path, headers=bearer("drawer"))
    assert response.content == site.get(path).content
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert site.get(path).headers["cache-control"].startswith("public")
    etag = {"if-none-match": response.headers["etag"]}
    assert kept.get(path, headers=etag).status_code == 401
    assert kept.get(path, headers=etag | bearer("drawer")).status_code == 304


SEEDS = [{"name": "seed", "datatype": "INT64", "shape": [3], "data": [1, 2, 3]}]
DRAWS = [
    ("POST", "/v1/samples", {"n": 3}, 3),
    ("POST", "/v1/samples", {"z": [[0.5] * 8] * 3}, 3),
    ("POST", "/v1/interpolations", {"seeds": [1, 2], "steps": 3}, 3),
    ("POST", "/v1/arithmetic", {"terms": [{"weight": 1, "seeds": [1, 2]}], "include_terms": True}, 2),
    ("POST", "/v1/images/generations", {"prompt": "bag", "n": 3}, 3),
    ("POST", "/v1/images/generations", {"prompt": "bag", "n": 3, "response_format": "url"}, 0),
    ("POST", "/v2/models/tiny/infer", {"inputs": SEEDS}, 3),
    ("GET", "/v1/models/tiny@{version}/images/bag/1.png", None, 1),
]  # fmt: skip


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


@pytest.mark.parametrize(("method", "path", "body", "images"), DRAWS)
def test_every_way_to_draw_is_metered_and_counts_against_the_quotas(metered, method, path, body, images):
    one = metered(images_per_minute=6, requests_per_minute=3)
    path = path.replace("{version}", one.front.models["tiny"].version)
    before = (
        metric("ganserve_key_images_total", key="drawer"),
        metric("ganserve_key_requests_total", key="drawer", code="200"),
    )
    allowed = min(3, 6 // images if images else 3)
    codes = [one.ask(method, path, headers=bearer("drawer"), json=body).status_code for _ in range(allowed)]
    assert codes == [200] * allowed
    after = (
        metric("ganserve_key_images_total", key="drawer"),
        metric("ganserve_key_requests_total", key="drawer", code="200"),
    )
    assert after == (before[0] + allowed * images, before[1] + allowed)
    response = one.ask(method, path, headers=bearer("drawer"), json=body)
    assert response.status_code == 429
    assert (
        "quota_exceeded" in response.text + response.headers.get("ganserve-error", "")
        or "rate_limit" in response.text
    )
    assert int(response.headers["retry-after"]) in range(1, 61)


def test_a_quota_refuses_with_a_code_and_the_time_to_wait_and_takes_nothing_else(metered):
    one = metered(images_per_minute=6)
    refusals = metric("ganserve_refused_total", reason="quota")
    assert one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")).status_code == 200
    response = one.ask("POST", "/v1/samples", json={"n": 2}, headers=bearer("drawer"))
    assert "6 images a minute" in refused(response, 429, "quota_exceeded")
    assert response.headers["retry-after"] == "20"
    assert metric("ganserve_refused_total", reason="quota") == refusals + 1
    assert one.get("/v1/models", headers=bearer("drawer")).status_code == 200, "nothing is drawn there"


def test_openais_clients_are_told_in_their_words(metered):
    one = metered(requests_per_minute=1)
    replies = [
        one.ask("POST", "/v1/images/generations", json={"prompt": "bag"}, headers=bearer("drawer"))
        for _ in range(2)
    ]
    error = replies[1].json()["error"]
    assert (replies[1].status_code, error["code"], error["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )


def test_what_is_wrong_with_a_request_costs_no_quota(metered):
    one = metered(requests_per_minute=1)
    for _ in range(5):
        refused(
            one.ask("POST", "/v1/samples", json={"n": 0}, headers=bearer("drawer")), 422, "invalid_field", "n"
        )
    assert one.ask("POST", "/v1/samples", json={}, headers=bearer("drawer")).status_code == 200


def test_what_a_full_queue_refuses_costs_no_quota(metered):
    one = metered(images_per_minute=6)
    models = one.front.models
    batcher = models.batcher
    assert batcher
    admission = batcher.admission
    limit, admission.max_queue_images = admission.max_queue_images, 0
    try:
        refused(one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")), 429, "queue_full")
    finally:
        admission.max_queue_images = limit
    assert one.ask("POST", "/v1/samples", json={"n": 6}, headers=bearer("drawer")).status_code == 200


def test_the_document_says_which_routes_take_a_key(site):
    described = document(ROUTES, site.front.models.settings)
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header"}
    scopes = {(route.method.lower(), route.path): route.scope for route in ROUTES}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            needs = scopes[method, path] is not None
            assert ("security" in operation) == needs, path
            assert ({"401", "403"} <= set(operation["responses"])) == needs, path


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
