from typing import Any

import httpx
import pytest

from service.web.openapi import document
from service.web.routes import ROUTES, scope_of
from tests.service.web.http.keyed import KEYS, NATIVE, SECRET, bearer, ring
from tests.service.web.site import Site, refused

PARTS = {"model": "tiny", "label": "bag", "file": "1.png", "version": "1"}


@pytest.fixture(scope="module")
def kept(site):
    """The site with keys."""
    return Site(site.front.models, native=NATIVE, keyring=ring())


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


def test_the_document_says_which_routes_take_a_key(site):
    described = document(ROUTES, site.front.models.settings)
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header"}
    scopes = {(route.method.lower(), route.path): route.scope for route in ROUTES}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            needs = scopes[method, path] is not None
            assert ("security" in operation) == needs, path
            assert ({"401", "403"} <= set(operation["responses"])) == needs, path
