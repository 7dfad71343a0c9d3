import asyncio
import base64
import io
import json
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.generator import images
from service.generator.engines.fake import FakeEngine
from service.generator.latents import MAX_SEED
from tests.generators import CLASSES, Tiny
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.waiting import until


def array(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def picture(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as image:
        return np.asarray(image)


def test_the_least_that_can_be_asked_is_one_png_of_a_drawn_seed(site):
    for response in (site.post(b""), site.post(b"{}"), site.samples(), site.post(b"{}", content_type=None)):
        assert response.headers["content-type"] == "image/png"
        assert picture(response).shape == (8, 8)
        seed = int(response.headers["ganserve-seeds"])
        assert seed < 2**32
        assert site.samples(seed=seed).content == response.content


def test_binary_replies_carry_model_version_engine_labels_and_seeds(site):
    version = site.front.models["tiny"].version
    headers = site.samples(label="Sneaker", n=16, seed=1).headers
    assert headers["ganserve-model"] == "tiny"
    assert headers["ganserve-version"] == version
    assert headers["ganserve-engine"] == "openvino"
    assert (headers["ganserve-seeds"], headers["ganserve-labels"]) == ("1-16", "7")
    assert site.samples(n=3, seed=9).headers["ganserve-labels"] == "9,0,1"
    bare = site.samples(model="bare", seed=4).headers
    assert "ganserve-labels" not in bare
    assert "ganserve-seeds" not in site.samples(z=[[0] * 8]).headers


def test_every_image_of_a_reply_can_be_asked_for_alone(site):
    together = array(site.samples(seed=5, n=40, format="npy", truncation=0.8))
    assert (together.dtype, together.shape) == (np.uint8, (40, 8, 8, 1))
    for i in (0, 1, 7, 39):
        alone = array(site.samples(seed=5 + i, format="npy", truncation=0.8))
        np.testing.assert_array_equal(alone[0], together[i])


def test_many_images_come_as_a_grid(site):
    sheet = picture(site.samples(model="colour", n=5, seed=2))
    assert sheet.shape == (16, 24, 3)
    np.testing.assert_array_equal(sheet[:8, 8:16], picture(site.samples(model="colour", seed=3)))
    assert (sheet[8:, 16:] == 255).all()


def test_webp_is_lossless(site):
    png, webp = (
        picture(site.samples(model="colour", seed=2, n=3, format=format)) for format in ("png", "webp")
    )
    np.testing.assert_array_equal(png, webp)


def test_json_holds_each_image_with_its_label_and_seed(site):
    reply = site.samples(seed=6, n=3, label=["bag", 0, "ankle-boot"], format="json")
    document = reply.json()
    assert (document["model"], document["version"]) == ("tiny", site.front.models["tiny"].version)
    assert [(one["label"], one["seed"]) for one in document["images"]] == [
        ("Bag", 6),
        ("T-shirt/top", 7),
        ("Ankle boot", 8),
    ]
    png = base64.b64decode(document["images"][1]["image"])
    assert png == site.samples(seed=7, label=0).content


def test_the_z_of_a_reply_posted_back_gives_the_same_images(site):
    first = site.samples(seed=6, n=3, truncation=0.4, format="json", include_z=True).json()["images"]
    again = site.samples(z=[one["z"] for one in first], label=[one["label"] for one in first], format="json")
    assert [one["image"] for one in again.json()["images"]] == [one["image"] for one in first]


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


class Stage:
    """A site on a fake engine that waits at a gate."""

    def __init__(self, models: Any, engine: FakeEngine, gate: threading.Event) -> None:
        self.site, self.engine, self.gate, self.models = Site(models), engine, gate, models

    @property
    def waiting(self) -> int:
        return self.models.batcher.accepted_images


@pytest.fixture
def stage(tmp_path):
    gate = threading.Event()
    gate.set()
    tiny = Tiny(golden_samples=0)
    engine = FakeEngine(tiny.contract(), gate=gate)
    limits = {"max_queue_images": 12, "max_images_per_request": 12, "timeout_seconds": 20}
    with loaded(tmp_path, {"tiny": tiny.file()}, engine, **limits) as models:
        engine.fail_on = 9  # after it was loaded, when every class is drawn
        yield Stage(models, engine, gate)
        gate.set()


def test_a_full_queue_answers_429_at_once_and_says_when_to_come_back(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            waiting = [
                asyncio.ensure_future(client.post("/v1/samples", json={"n": 6, "label": 0})) for _ in range(2)
            ]
            await until(lambda: stage.waiting == 12)
            response = await client.post("/v1/samples", json={"label": 0})
            refused(response, 429, "queue_full")
            assert 1 <= int(response.headers["retry-after"]) <= 60
            stage.gate.set()
            assert [one.status_code for one in await asyncio.gather(*waiting)] == [200, 200]
            assert (await client.post("/v1/samples", json={"label": 0})).status_code == 200

    asyncio.run(play())


def test_a_request_past_its_own_deadline_is_answered_504(stage):
    stage.gate.clear()
    refused(stage.site.samples(label=0, timeout=0.03), 504, "deadline_passed")
    refused(stage.site.samples(label=0, timeout=1e-9), 504, "deadline_passed")
    stage.gate.set()
    assert stage.site.samples(label=0, timeout=1e300).status_code == 200


def test_a_failed_pass_is_a_500_to_who_made_it_fail_and_to_nobody_else(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:

            async def ask(label: int) -> httpx.Response:
                return await client.post("/v1/samples", json={"label": label, "seed": 1})

            first = asyncio.ensure_future(ask(0))
            await until(lambda: stage.models.batcher.passes())
            both = [asyncio.ensure_future(ask(label)) for label in (9, 1)]
            await until(lambda: stage.waiting == 3)
            stage.gate.set()
            assert (await first).status_code == 200
            guilty, innocent = await asyncio.gather(*both)
            assert "RuntimeError" not in refused(guilty, 500, "engine_failed")
            assert innocent.status_code == 200
            assert (await ask(1)).status_code == 200

    asyncio.run(play())


def test_a_pass_that_fails_in_onnxruntime_is_a_500_and_the_next_one_works(tmp_path):
    file = Tiny(fails_on_large_z=True).file()
    with loaded(tmp_path, {"tiny": file}, engine="onnxruntime", threads=1) as models:
        site = Site(models)
        for z, status in ((1, 200), (2000, 500), (1, 200), (2000, 500), (0, 200)):
            assert site.samples(label=1, z=[[z] * 8]).status_code == status


def test_a_request_refused_for_its_fields_harms_no_batch_mate(stage):
    async def play() -> None:
        stage.gate.clear()
        async with stage.site.client() as client:
            first = asyncio.ensure_future(client.post("/v1/samples", json={"label": 0, "seed": 3}))
            await until(lambda: stage.waiting == 1)
            good = asyncio.ensure_future(client.post("/v1/samples", json={"label": 1, "seed": 4}))
            bad = await client.post("/v1/samples", json={"label": "nothing", "seed": 4})
            refused(bad, 422, "invalid_field", "label")
            stage.gate.set()
            assert (await first).status_code == (await good).status_code == 200

    asyncio.run(play())


def test_a_client_that_leaves_frees_its_place_in_the_queue(stage):
    async def play() -> None:
        stage.gate.clear()
        left = asyncio.Event()
        parts = [{"type": "http.request", "body": b'{"n": 12, "label": 0}'}]
        sent: list[Any] = []

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/samples", "raw_path": b"/v1/samples",
                 "query_string": b"", "headers": []}  # fmt: skip
        request = asyncio.ensure_future(stage.site.front(scope, receive, send))
        await until(lambda: stage.waiting == 12)
        left.set()
        await until(lambda: stage.waiting == 0)
        await request
        assert sent == []

    asyncio.run(play())


def test_a_model_that_is_loading_or_failed_answers_503_and_says_why(tmp_path):
    with loaded(tmp_path, {"broken": b"", "good": Tiny().file()}, threads=1) as models:
        site = Site(models)
        detail = refused(site.samples(model="broken"), 503, "not_ready")
        assert "not an ONNX file" in detail
        models["good"].state = "loading"
        response = site.samples(model="good")
        refused(response, 503, "not_ready")
        assert response.headers["retry-after"] == "1"
        refused(site.get("/v1/models/good/images/0/1.png"), 503, "not_ready")
        assert site.get("/v1/models/broken").json()["problem"].startswith("not an ONNX file")
        assert site.get("/v1/models/good").json()["state"] == "loading"


def test_while_draining_the_batcher_refuses_with_503(tmp_path):
    with loaded(tmp_path, {"good": Tiny().file()}, threads=1) as models:
        assert models.batcher
        models.batcher.drain()
        refused(Site(models).samples(), 503, "draining")


def test_decoded_pngs_of_every_route_are_one_image(site):
    by_url = images.decode(site.ask("GET", "/v1/models/tiny/images/bag/5.png", follow_redirects=True).content)
    by_json = json.loads(site.samples(seed=5, label="bag", format="json").content)["images"][0]["image"]
    np.testing.assert_array_equal(images.decode(base64.b64decode(by_json)), by_url)
    np.testing.assert_array_equal(
        array(site.samples(seed=5, label="bag", format="npy"))[0].transpose(2, 0, 1), by_url
    )
