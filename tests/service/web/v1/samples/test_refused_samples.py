"""Bodies of /v1/samples that are refused, each with a name for what is wrong."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.generator.latents import MAX_SEED
from tests.generators import CLASSES
from tests.service.web.site import refused


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"model": 5}, "model", "str"),
        ({"label": "shoe"}, "label", "T-shirt/top, Trouser"),
        ({"label": 10}, "label", "0 to 9"),
        ({"label": -1}, "label", "0 to 9"),
        ({"label": 1.5}, "label", "int"),
        ({"label": True}, "label", "int"),
        ({"label": {}}, "label", "object"),
        ({"label": [0, "shoe"]}, "label", "shoe"),
        ({"label": [0, None]}, "label[1]", "null"),
        ({"label": [[0]]}, "label[0]", "array"),
        ({"label": []}, "label", "1 to 64"),
        ({"label": [1, 2], "n": 3}, "label", "2 entries"),
        ({"model": "bare", "label": 0}, "label", "unconditional"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": -1}, "n", ">= 1"),
        ({"n": 65}, "n", "1 to 64"),
        ({"n": 10**30}, "n", "1 to 64"),
        ({"n": "3"}, "n", "int"),
        ({"n": 2.5}, "n", "int"),
        ({"n": True}, "n", "int"),
        ({"seed": -1}, "seed", ">= 0"),
        ({"seed": MAX_SEED + 1}, "seed", str(MAX_SEED)),
        ({"seed": 10**40}, "seed", str(MAX_SEED)),
        ({"seed": MAX_SEED, "n": 2}, "seed", str(MAX_SEED)),
        ({"seed": 1.5}, "seed", "int"),
        ({"seed": "1"}, "seed", "int"),
        ({"z": []}, "z", "1 to 64"),
        ({"z": [1, 2]}, "z[0]", "array"),
        ({"z": [[0] * 7]}, "z", "z_dim is 8"),
        ({"z": [[0] * 8, [0] * 9]}, "z", "z[1] has 9"),
        ({"z": [[0] * 7 + ["x"]]}, "z[0][7]", "float"),
        ({"z": [[0] * 7 + [None]]}, "z[0][7]", "null"),
        ({"z": [[0] * 7 + [1e39]]}, "z", "not finite"),
        ({"z": [[0] * 8], "seed": 1}, "z", "exclude each other"),
        ({"z": [[0] * 8], "n": 2}, "z", "1 entries"),
        ({"z": "all"}, "z", "array"),
        ({"truncation": 0}, "truncation", "> 0"),
        ({"truncation": 1.001}, "truncation", "<= 1"),
        ({"truncation": -0.5}, "truncation", "> 0"),
        ({"truncation": "half"}, "truncation", "float"),
        ({"truncation": None}, "truncation", "null"),
        ({"format": "gif"}, "format", "png, webp, jpeg, avif, npy, json"),
        ({"format": 1}, "format", "str"),
        ({"include_z": "yes"}, "include_z", "bool"),
        ({"timeout": 0}, "timeout", "> 0"),
        ({"timeout": "1"}, "timeout", "float"),
        ({"colour": "red"}, "colour", "allowed are model, label, n, seed, z"),
        ({"N": 1}, "N", "allowed are"),
        ({"x" * 5000: 1}, "x" * 64, "allowed are"),
        ([], "body", "object"),
        ("text", "body", "object"),
        (None, "body", "object"),
        (7, "body", "object"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_named_with_what_is(site, body, field, says):
    detail = refused(site.post(json.dumps(body).encode()), 422, "invalid_field", field)
    assert says in detail
    assert len(detail) < 1000


@pytest.mark.parametrize(
    "body",
    [b"{", b"{]", b"not json", b"\xff\xfe", b'{"n": 1} 2', b"{'n': 1}", b'{"n": NaN}', b'{"z": [[Infinity]]}',
     b'{"label": "\\ud800"}', b'{"label": "\xed\xa0\x80"}', b"\xef\xbb\xbf{}", b"[" * 60_000, b'{"n":' * 10_000],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(site, body):
    response = site.post(body)
    if body.startswith((b"[[", b'{"n":{')):  # well-formed as far as it is read
        refused(response, 422, "invalid_field", "body" if body[:1] == b"[" else "n")
    else:
        refused(response, 400, "not_json")


@pytest.mark.parametrize("body", [b'{"z": [[1e999, 0, 0, 0, 0, 0, 0, 0]]}', b'{"truncation": 1e999}', b'{"n": 1e400}',
                                  b'{"seed": 1' + b"0" * 5000 + b"}"])  # fmt: skip
def test_numbers_beyond_any_range_are_invalid_fields(site, body):
    assert site.post(body).status_code == 422


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/octet-stream",
     "application/vnd.bentoml+pickle", "application/jsonx", "text/json-ish", "json", "", ";", "é"],
)  # fmt: skip
def test_a_content_type_that_is_not_json_is_refused(site, content_type):
    headers = [(b"content-type", content_type.encode("latin-1"))]
    response = site.ask("POST", "/v1/samples", content=b"{}", headers=headers)
    assert "application/json" in refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "Application/JSON; charset=utf-8", "application/problem+json"]
)
def test_json_by_any_name_and_no_name_at_all_is_taken(site, content_type):
    assert site.post(b'{"seed": 1}', content_type).status_code == 200


def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(site):
    limit = site.front.models.settings.max_body_bytes
    padded = b'{"seed": 1' + b" " * (limit - 11) + b"}"
    assert len(padded) == limit
    assert site.post(padded).status_code == 200
    detail = refused(site.post(padded + b" "), 413, "body_too_large")
    assert str(limit) in detail


@pytest.mark.parametrize("model", ["", "no", "tiny@0", "tiny@", "TINY", "x" * 5000, "../tiny", "tiny/", "é"])
def test_an_unknown_model_is_not_found(site, model):
    detail = refused(site.samples(model=model), 404, "unknown_model")
    assert len(detail) < 500


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


FIELDS = ("model", "label", "n", "seed", "z", "truncation", "format", "include_z", "timeout")


plausible = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["tiny", "bare", "colour", "none"]),
        "label": st.sampled_from([*CLASSES, *range(12), "bag"]) | st.lists(st.integers(0, 10), max_size=4),
        "n": st.integers(0, 66),
        "seed": st.integers(0, MAX_SEED + 1),
        "z": st.lists(st.lists(st.floats(-5, 5), min_size=7, max_size=9), max_size=3),
        "truncation": st.floats(0, 1.1),
        "format": st.sampled_from(["png", "webp", "npy", "json"]),
        "include_z": st.booleans(),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plausible | st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values)
def test_no_json_whatever_makes_the_service_fail(site, body):
    response = site.post(json.dumps(body).encode())
    assert response.status_code in (200, 404, 422, 504), response.text
    if response.status_code == 504:
        assert isinstance(body, dict)
        assert "timeout" in body
