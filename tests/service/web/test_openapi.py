import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.drawing.formats import MEDIA_TYPES
from service.drawing.sampler import SampleRequest
from service.settings import Settings
from service.web.openapi import document
from service.web.routes import ROUTES

DOCUMENT = document(ROUTES, Settings(max_images_per_request=99, timeout_seconds=12.5))
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_every_route_is_described_and_nothing_else():
    assert set(OPERATIONS) == {(route.method, route.path) for route in ROUTES}


def test_it_is_plain_json_and_served(site):
    assert site.get("/openapi.json").json() == json.loads(
        json.dumps(document(ROUTES, site.front.models.settings))
    )
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_reference_leads_somewhere():
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(DOCUMENT))
    assert set(references) == set(DOCUMENT["components"]["schemas"])


def test_every_part_of_a_path_is_a_parameter():
    for (_, path), operation in OPERATIONS.items():
        named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), path


def test_every_field_is_described_with_the_limits_of_this_server():
    fields = DOCUMENT["components"]["schemas"]["SampleRequest"]["properties"]
    assert set(fields) == set(SampleRequest.__struct_fields__)
    assert all(len(field["description"]) > 20 for field in fields.values())
    assert fields["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 99}
    ns = [
        schema["properties"]["n"]
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if "n" in schema.get("properties", {}) and name != "DatasetRequest"
    ]
    assert len(ns) == 5
    assert all('"maximum": 99' in json.dumps(n) for n in ns)
    assert "12.5" in fields["timeout"]["description"]
    assert DOCUMENT["components"]["schemas"]["SampleRequest"]["additionalProperties"] is False


def bodies(schema: Any) -> Iterator[str]:
    """The structs that a body is made of, by name."""
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)):
        yield name
        yield from bodies(DOCUMENT["components"]["schemas"][name])


@pytest.mark.parametrize(
    "name", sorted({name for one in OPERATIONS.values() for name in bodies(one.get("requestBody", {}))})
)
def test_every_field_of_every_body_is_described(name):
    for field, schema in DOCUMENT["components"]["schemas"][name]["properties"].items():
        assert len(schema["description"]) > 7, field
        assert "{" not in schema["description"], field


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/samples", {}),
        ("POST", "/v1/samples", {"format": "webp", "n": 3}),
        ("POST", "/v1/samples", {"format": "npy"}),
        ("POST", "/v1/samples", {"format": "json", "include_z": True}),
        ("POST", "/v1/samples", {"n": 0}),
        ("POST", "/v1/samples", {"model": "none"}),
        ("POST", "/v1/samples", {"timeout": 1e-9}),
        ("PUT", "/v1/samples", {}),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/{model}", None),
        ("GET", "/v1/models/{model}/images/{file}", None),
        ("GET", "/v1/models/{model}/images/{label}/{file}", None),
        ("DELETE", "/v1/models/{model}", None),
        ("GET", "/livez", None),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
        ("GET", "/docs", None),
        ("GET", "/", None),
    ],
)
def test_what_is_answered_is_what_is_described(site, method, path, body):
    address = path.format(model="tiny", label="bag", file="1.png")
    response = site.ask(method, address, **({} if body is None else {"json": body}))
    others = [one for (_, described), one in OPERATIONS.items() if described == path]
    operation = OPERATIONS.get((method, path)) or others[0]
    described = operation["responses"][str(response.status_code)]
    content = described.get("content", {})
    if content:
        assert response.headers["content-type"].split(";")[0] in content
    assert {name.lower() for name in described.get("headers", {})} <= {
        *response.headers,
        "ganserve-seeds",
        "ganserve-labels",
    }
    ours = {name for name in response.headers if name.startswith("ganserve-")}
    assert ours <= set(described.get("headers", {}))


def test_the_media_types_of_samples_are_those_of_the_formats():
    assert set(OPERATIONS["POST", "/v1/samples"]["responses"]["200"]["content"]) == set(MEDIA_TYPES.values())


EXAMPLES = [
    (path, name, example["value"])
    for (_, path), operation in OPERATIONS.items()
    for content in operation.get("requestBody", {}).get("content", {}).values()
    for name, example in content.get("examples", {}).items()
]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    # Orders are tried in test_admin.py, where workers have a folder to agree in; translations in test_translations.py,
    # by a model that is given a picture.
    [
        one
        for one in EXAMPLES
        if one[0] not in ("/sample", "/v1/translations") and not one[0].startswith("/v1/admin/")
    ],
)
def test_the_examples_are_requests_that_work(site, path, name, value):
    response = site.ask("POST", path.format(model="tiny", version="1"), json=value)
    if "{version}" in path:
        # The version is the file's: only the server knows it.
        version = site.get("/v2/models/tiny").json()["versions"][0]
        response = site.ask("POST", path.format(model="tiny", version=version), json=value)
    assert response.status_code == 200, response.text


def test_every_error_that_a_reply_can_name_is_in_the_table():
    named = set(re.findall(r"`([a-z_]+)`: [A-Z]", json.dumps(DOCUMENT["paths"])))
    table = set(re.findall(r"\| `(\w+)` \|", DOCUMENT["info"]["description"]))
    # OpenAI's own codes stand with its route.
    others = {"head_too_large"} | {"no_replica"}  # before there is a route; nginx' own
    assert named - {"invalid_value", "model_not_found", "rate_limit_exceeded"} == table - others


def test_every_body_of_json_has_an_example():
    bodies = {
        path
        for (_, path), operation in OPERATIONS.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    # Its one field has a default.
    assert bodies - {"/v2/repository/index"} == {path for path, *_ in EXAMPLES}
