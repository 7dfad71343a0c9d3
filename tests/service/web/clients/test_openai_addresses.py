"""Addresses in the place of images: what they begin with, and where there are none."""

from dataclasses import replace

import pytest

from tests.service.web.clients.generations import PATH, generate, generated, refused


def test_addresses_lead_to_the_images_and_are_cached_for_ever(site):
    document = generated(site, prompt="two t-shirts", n=2, seed=8, truncation=0.5, response_format="url")
    version = site.front.models["tiny"].version
    assert [one["url"] for one in document["data"]] == [
        f"http://site/v1/models/tiny@{version}/images/t-shirt-top/{seed}.png?truncation=0.5"
        for seed in (8, 9)
    ]
    image = site.get(document["data"][1]["url"])
    assert "immutable" in image.headers["cache-control"]
    assert image.content == site.samples(label=0, seed=9, truncation=0.5).content
    assert "b64_json" not in document["data"][0]


def test_addresses_begin_with_the_public_url_where_one_is_set(site, monkeypatch):
    behind_proxy = replace(site.front.models.settings, public_url="https://images.example.com/gan/")
    monkeypatch.setattr(site.front.models, "settings", behind_proxy)
    (one,) = generated(site, prompt="bag", seed=1, response_format="url")["data"]
    version = site.front.models["tiny"].version
    assert one["url"] == f"https://images.example.com/gan/v1/models/tiny@{version}/images/bag/1.png"


def test_a_forwarded_host_is_not_believed(site):
    headers = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    response = site.ask("POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers=headers)
    assert response.json()["data"][0]["url"].startswith("http://site/v1/")


def test_addresses_of_an_unconditional_model_and_of_webp(site):
    (one,) = generated(site, model="bare", seed=8, response_format="url", output_format="webp", size="8x8")[
        "data"
    ]
    image = site.get(one["url"])
    assert (image.status_code, image.headers["content-type"]) == (200, "image/webp")


@pytest.mark.parametrize(
    "host", ["localhost:3000", "a.b-c.example", "127.0.0.1:80", "[::1]:3000", "xn--bcher-kva.example:65535"]
)
def test_addresses_have_the_host_of_the_request(site, host):
    response = site.ask(
        "POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers={"host": host}
    )
    assert response.json()["data"][0]["url"].startswith(f"http://{host}/v1/models/tiny@")


@pytest.mark.parametrize(
    ("prefix", "path"), [("", ""), ("/", ""), ("/gan", "/gan"), ("/a/b.c~d-e/", "/a/b.c~d-e")]
)
def test_addresses_have_the_path_that_a_proxy_took_away(site, prefix, path):
    asked = {"prompt": "bag", "response_format": "url"}
    response = site.ask("POST", PATH, json=asked, headers={"x-forwarded-prefix": prefix})
    assert response.json()["data"][0]["url"].startswith(f"http://site{path}/v1/models/tiny@")


@pytest.mark.parametrize("prefix", ["gan", "//evil.example", "/a b", "/a?b", "/a#b", "/é", "/a,/b", "/a" * 9])
def test_a_prefix_that_is_no_path_gets_no_addresses(site, prefix):
    asked = {"prompt": "bag", "response_format": "url"}
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1"))]
    response = site.ask("POST", PATH, json=asked, headers=headers)
    assert "X-Forwarded-Prefix" in refused(response, 400, "invalid_value", "response_format")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a/b",
        "a@b",
        "evil.example/path",
        "a b",
        "a:b",
        "a:123456",
        "-a",
        "<script>",
        "a\\b",
        "a?b",
        "a#b",
        "é",
    ],
)
def test_a_host_that_is_none_gets_no_addresses(site, host):
    headers = [(b"host", host.encode("latin-1"))]
    response = site.ask("POST", PATH, json={"prompt": "bag", "response_format": "url"}, headers=headers)
    assert "Host" in refused(response, 400, "invalid_value", "response_format")
    response = site.ask("POST", PATH, json={"prompt": "bag"}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("fields", [{"stream": True}])
def test_what_has_no_address_is_refused_with_what_to_do(site, fields):
    response = generate(site, prompt="bag", response_format="url", **fields)
    assert "b64_json" in refused(response, 400, "invalid_value", "response_format")
