import json
import re

import pytest

from service.images import MEDIA_TYPES
from service.sampler import SampleRequest
from service.settings import Settings
from service.web.openapi import document
from service.web.routes import ROUTES

DOCUMENT = document(Settings(max_images_per_request=99, timeout_seconds=12.5))
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_every_route_is_described_and_nothing_else():
    assert set(OPERATIONS) == {(method, path) for method, path, _ in ROUTES}


def test_it_is_plain_json_and_served(site):
    assert site.get("/openapi.json").json() == json.loads(json.dumps(document(site.front.models.settings)))
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_reference_leads_somewhere():
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(DOCUMENT))
    assert set(references) <= set(DOCUMENT["components"]["schemas"])
    assert {"SampleRequest", "Problem", "JsonReply"} <= set(references)


def test_every_part_of_a_path_is_a_parameter():
    for (_, path), operation in OPERATIONS.items():
        named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), path


def test_every_field_is_described_with_the_limits_of_this_server():
    fields = DOCUMENT["components"]["schemas"]["SampleRequest"]["properties"]
    assert set(fields) == set(SampleRequest.__struct_fields__)
    assert all(len(field["description"]) > 20 for field in fields.values())
    assert fields["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 99}
    assert "12.5" in fields["timeout"]["description"]
    assert DOCUMENT["components"]["schemas"]["SampleRequest"]["additionalProperties"] is False


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
    operation = next(one for (_, described), one in OPERATIONS.items() if described == path)
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


def test_the_example_is_a_request_that_works(site):
    (example,) = DOCUMENT["components"]["schemas"]["SampleRequest"]["examples"]
    assert site.samples(**example).status_code == 200
