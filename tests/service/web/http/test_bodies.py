"""What a body may be is what the document says, on every route that takes JSON."""

import gzip
import re
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from service.web import openapi
from service.web.routes import ROUTES
from tests.service.web.http.test_drawing_call import as_bentoml
from tests.service.web.site import Site

SEED = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [1]}
# Valid as they are; of each every integer is tried.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/samples": {"model": "tiny", "label": 2, "n": 1, "seed": 3},
    "/v1/interpolations": {"model": "tiny", "seeds": [1, 2], "label": [3, 4], "steps": 3, "frame_milliseconds": 100},
    "/v1/arithmetic": {"model": "tiny", "label": 1, "terms": [{"weight": 1, "seeds": [3, 4], "label": 2}]},
    "/v1/images/generations": {"prompt": "bag", "n": 1, "seed": 3, "output_compression": 100},
    "/sample": {"model": "tiny", "label": 2, "n": 1, "seed": 3},
    "/v2/models/tiny/infer": {"inputs": [SEED], "parameters": {"timeout": 9000000}},
}  # fmt: skip


@pytest.fixture(scope="module")
def front(site):
    return Site(site.front.models, as_bentoml, frozenset({"/sample"}))


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the integers of a body are."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))
    elif isinstance(value, int):
        yield path


def put(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The body with another value there."""
    changed = msgspec.json.decode(msgspec.json.encode(body))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def at(body: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


EVERY_INTEGER = [(path, place) for path, body in BODIES.items() for place in places(body)]


@pytest.mark.parametrize(("path", "place"), EVERY_INTEGER)
def test_an_integer_is_one_however_json_writes_it_and_nothing_else_is(front, path, place):
    body = BODIES[path]
    value = at(body, place)
    wanted = front.ask("POST", path, json=body)
    assert wanted.status_code == 200, wanted.text
    marked = msgspec.json.encode(put(body, place, "HERE"))
    for spelling in (f"{value}.0", f"{value}.000", f"{value}e0", f"{value * 10}E-1"):
        text = marked.replace(b'"HERE"', spelling.encode())
        reply = front.ask("POST", path, content=text, headers={"content-type": "application/json"})
        answers = [
            re.sub(rb'"created":\d+', b"", one.content) for one in (reply, wanted)
        ]  # OpenAI's, in seconds
        assert (reply.status_code, answers[0]) == (200, answers[1]), (spelling, reply.text)
    is_number = place[-1] == "weight"
    for wrong in (True, [[value]], {}, 10**400, *([] if is_number else [10**30, value + 0.5])):
        reply = front.ask("POST", path, json=put(body, place, wrong))
        assert reply.status_code in (400, 422), (wrong, reply.text)
    if "label" not in place:  # the index of a class may be text
        assert front.ask("POST", path, json=put(body, place, f"{value}")).status_code in (400, 422)


def integers(schema: Any) -> dict[str, Any] | None:
    """The part of a field's schema that is an integer's."""
    return next((one for one in schema.get("anyOf", [schema]) if one.get("type") == "integer"), None)


@pytest.mark.parametrize("path", ["/v1/samples", "/v1/interpolations", "/v1/images/generations"])
def test_bounds_and_null_are_those_of_the_document(front, path):
    document = openapi.document(ROUTES, front.front.models.settings)
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = document["components"]["schemas"][content["$ref"].rpartition("/")[2]]["properties"]
    tried = 0
    for name, schema in fields.items():
        integer = integers(schema)
        if integer is None or name == "label":  # classes are the model's
            continue
        body = {key: value for key, value in BODIES[path].items() if key not in ("n", "seed", name)}

        def status(value: Any, body: Any = body, name: str = name) -> int:
            return front.ask("POST", path, json=body | {name: value}).status_code

        low, high = integer.get("minimum"), integer.get("maximum")
        for bound, step in ((low, -1), (high, 1)):
            if bound is not None:
                tried += 1
                assert status(bound + step) in (400, 422), (name, bound + step)
                assert status(float(bound)) == status(bound), (name, bound)
        nullable = any(one.get("type") == "null" for one in schema.get("anyOf", []))
        assert (status(None) == 200) == nullable, name
    assert tried


def coded(path: str, body: bytes, coding: str, front: Site) -> Any:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return front.ask("POST", path, content=body, headers=headers)


@pytest.mark.parametrize("path", BODIES)
def test_a_body_may_be_compressed_and_is_bounded_as_it_was_before(front, path):
    plain = msgspec.json.encode(BODIES[path])
    wanted = front.ask("POST", path, json=BODIES[path])
    assert coded(path, gzip.compress(plain), "gzip", front).content == wanted.content
    assert coded(path, zlib.compress(plain), "Deflate", front).content == wanted.content
    assert coded(path, plain, "identity", front).content == wanted.content
    too_large = gzip.compress(plain + b" " * front.front.models.settings.max_body_bytes)
    assert coded(path, too_large, "gzip", front).status_code == 413
    for broken in (plain, gzip.compress(plain)[:-3], gzip.compress(plain) + b"more"):
        reply = coded(path, broken, "gzip", front)
        assert reply.status_code in (400, 422)
        assert "gzip" in reply.text
    for coding in ("br", "zstd", "gzip, gzip", "x" * 1000):
        reply = coded(path, plain, coding, front)
        assert (reply.status_code, reply.headers["accept-encoding"]) == (415, "gzip, deflate")
        assert "content encoding" in reply.text
