"""Documents travel compressed to whoever takes that, under a tag of their own; pictures as they are."""

import pytest

from service.web.http.compression import LEAST_BYTES, takes_gzip

FILE = "/playground/playground.js"
GZIP = {"accept-encoding": "gzip"}
PLAIN = {"accept-encoding": "identity"}


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1, GZIP ; q=0.5", True),
        ("*", True),
        ("identity;q=0.5, gzip;q=1", True),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip;q=lots", False),
        ("br", False),
        ("", False),
        (None, False),
    ],
)
def test_a_client_says_what_it_takes(accepted, takes):
    assert takes_gzip(accepted) is takes


@pytest.mark.parametrize("address", [FILE, "/openapi.json", "/metrics", "/", "/v1/models", "/v2/models/tiny"])
def test_json_text_and_metrics_are_smaller_and_the_same(site, address):
    plain, small = site.get(address, headers=PLAIN), site.get(address, headers=GZIP)
    assert "content-encoding" not in plain.headers
    if len(plain.content) < LEAST_BYTES:
        assert "content-encoding" not in small.headers
        return
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert int(small.headers["content-length"]) < len(plain.content) / 2
    if address != "/metrics":  # which counts that it was asked for
        assert small.content == plain.content


def test_each_encoding_has_a_tag_and_either_is_recognized_as_itself_only(site):
    tags = {}
    for accepted in (GZIP, PLAIN):
        tag = tags[accepted["accept-encoding"]] = site.get(FILE, headers=accepted).headers["etag"]
        known = site.get(FILE, headers=accepted | {"if-none-match": f'"other", W/{tag}'})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        assert known.headers["vary"] == "accept-encoding", "a cache keeps both"
    assert tags["gzip"] != tags["identity"]
    other = site.get(FILE, headers=PLAIN | {"if-none-match": tags["gzip"]})
    assert (other.status_code, other.headers["etag"]) == (200, tags["identity"])


def test_what_is_drawn_is_left_as_it_is(site):
    for fields in ({"seed": 1, "n": 64}, {"seed": 1, "n": 64, "format": "npy"}):
        reply = site.ask("POST", "/v1/samples", json=fields, headers=GZIP)
        assert reply.status_code == 200
        assert len(reply.content) > LEAST_BYTES
        assert "content-encoding" not in reply.headers


def test_head_says_what_get_would(site):
    get, head = (site.ask(method, FILE, headers=GZIP) for method in ("GET", "HEAD"))
    for one in (get, head):
        del one.headers["x-request-id"]
    assert (head.headers, head.content) == (get.headers, b"")
