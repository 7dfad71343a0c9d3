"""Formats as clients ask for them: by a field, a suffix, or the Accept header."""

import io
from base64 import b64encode

import numpy as np
import pytest
from PIL import Image

from tests.service.web.site import Site, refused
from tests.service.web.v1.test_addresses import led_to, versioned

LOSSY = {"jpeg": "JPEG", "avif": "AVIF"}


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("format", LOSSY)
@pytest.mark.parametrize("model", ["tiny", "colour"])
def test_lossy_formats_show_the_same_picture(site: Site, format, model):
    asked = {"model": model, "seed": 1, "n": 4, "label": 0}
    got = site.samples(**asked, format=format, quality=100)
    assert got.headers["content-type"] == f"image/{format}"
    assert np.abs(pixels(got.content) - pixels(site.samples(**asked).content)).mean() < 4
    assert len(site.samples(**asked, format=format, quality=1).content) < len(got.content)


@pytest.mark.parametrize("path", ["/v1/samples", "/v1/interpolations", "/v1/arithmetic"])
@pytest.mark.parametrize("format", ["webp", "jpeg", "avif", "npy", "json"])
def test_what_accept_likes_best_comes_where_the_body_names_no_format(site: Site, path, format):
    body = {
        "/v1/samples": {"seed": 1},
        "/v1/interpolations": {"seeds": [1, 2]},
        "/v1/arithmetic": {"terms": [{"weight": 1, "seeds": [1]}]},
    }[path]
    kind = {"npy": "application/x-npy", "json": "application/json"}.get(format, f"image/{format}")
    accept = {"accept": f"text/html;q=0.4, {kind};q=0.9, image/png;q=0.8"}
    got = site.ask("POST", path, json=body, headers=accept)
    assert got.headers["content-type"] == kind
    asked = site.ask("POST", path, json=body | {"format": format})
    assert got.content == asked.content
    named = site.ask("POST", path, json=body | {"format": "png"}, headers=accept)
    assert named.headers["content-type"] == "image/png"


def test_a_quality_of_a_lossless_format_is_refused(site: Site):
    assert "no quality" in refused(site.samples(quality=50), 422, "invalid_field", "quality")
    accept = {"accept": "image/jpeg"}
    assert site.ask("POST", "/v1/samples", json={"quality": 50}, headers=accept).status_code == 200


@pytest.mark.parametrize(("suffix", "format"), [("jpg", "jpeg"), ("avif", "avif"), ("webp", "webp")])
def test_an_address_has_the_format_of_its_suffix(site: Site, suffix, format):
    image = site.get(versioned(site, f"bag/12.{suffix}"))
    assert image.headers["content-type"] == f"image/{format}"
    assert image.content == site.samples(seed=12, label="bag", format=format).content
    assert "immutable" in image.headers["cache-control"]


def test_a_quality_is_part_of_the_address(site: Site):
    lossy, usual = (versioned(site, f"bag/12.jpg{query}") for query in ("?quality=5", ""))
    assert led_to(site.get("/v1/models/tiny/images/bag/12.jpg?quality=5")) == lossy
    assert led_to(site.get("/v1/models/tiny/images/bag/12.jpeg?quality=90")) == usual
    small, large = site.get(lossy), site.get(usual)
    assert len(small.content) < len(large.content)
    assert small.headers["etag"] != large.headers["etag"]
    again = site.get(lossy, headers={"if-none-match": small.headers["etag"]})
    assert again.status_code == 304


def test_an_address_without_a_suffix_leads_to_what_accept_likes_best(site: Site):
    for accept, suffix in (
        ("image/avif,image/webp,*/*;q=0.8", "avif"),
        ("image/jpeg", "jpg"),
        ("*/*", "png"),
    ):
        for address in ("/v1/models/tiny/images/bag/12", versioned(site, "bag/12")):
            response = site.get(address, headers={"accept": accept})
            assert led_to(response) == versioned(site, f"bag/12.{suffix}")
            assert response.headers["vary"] == "accept"
            assert response.headers["cache-control"] == "no-cache"


def test_openai_clients_get_avif_and_addresses_of_lossy_pictures(site: Site):
    asked = {"prompt": "bag", "seed": 3, "output_format": "avif", "output_compression": 40}
    reply = site.ask("POST", "/v1/images/generations", json=asked).json()
    wanted = site.samples(seed=3, label="bag", format="avif", quality=40).content
    assert reply["data"][0]["b64_json"].encode() == b64encode(wanted)
    lossy = asked | {"output_format": "jpeg", "response_format": "url"}
    url = site.ask("POST", "/v1/images/generations", json=lossy).json()["data"][0]["url"]
    image = site.get(url.removeprefix("http://site"))
    assert image.content == site.samples(seed=3, label="bag", format="jpeg", quality=40).content
