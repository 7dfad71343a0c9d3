import asyncio
import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.drawing.latent.arithmetic import ArithmeticRequest, Term
from service.drawing.latent.interpolation import InterpolationRequest
from service.generator.latents import MAX_SEED
from service.web import openapi
from service.web.v1.interpolations import ROUTES
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.service.web.stage import MOST, Stage, ask_and_leave, staged
from tests.waiting import until

INTERPOLATIONS, ARITHMETIC = "/v1/interpolations", "/v1/arithmetic"
TERMS = [{"weight": 1, "seeds": [1, 2, 3]}, {"weight": -1, "seeds": [4]}, {"weight": 1, "seeds": [5, 6]}]
SMALLEST = {INTERPOLATIONS: {"seeds": [1, 2]}, ARITHMETIC: {"terms": TERMS}}
both = pytest.mark.parametrize("path", [INTERPOLATIONS, ARITHMETIC])


def post(site: Site, path: str, /, **fields: Any) -> httpx.Response:
    return site.ask("POST", path, json=fields)


def array(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def picture(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as image:
        return np.asarray(image)


def test_the_points_of_a_way_are_the_images_of_their_seeds(site):
    reply = post(site, INTERPOLATIONS, seeds=[3, 40, 7], label="bag", steps=5, format="npy", truncation=0.8)
    images = array(reply)
    assert (images.dtype, images.shape) == (np.uint8, (9, 8, 8, 1))
    for place, seed in ((0, 3), (4, 40), (8, 7)):
        alone = array(site.samples(seed=seed, label="bag", truncation=0.8, format="npy"))
        np.testing.assert_array_equal(images[place], alone[0])
    assert (reply.headers["ganserve-seeds"], reply.headers["ganserve-labels"]) == ("3,40,7", "8")


def test_by_default_it_is_a_row_of_eight(site):
    row = post(site, INTERPOLATIONS, seeds=[1, 2], model="colour")
    assert row.headers["content-type"] == "image/png"
    assert picture(row).shape == (8, 64, 3)
    np.testing.assert_array_equal(picture(row)[:, -8:], picture(site.samples(seed=2, model="colour")))
    assert row.headers["ganserve-labels"] == "1,2"


def test_a_gif_plays_the_same_images(site):
    asked = {"seeds": [1, 2, 3], "label": 5, "loop": True, "steps": 4}
    images = array(post(site, INTERPOLATIONS, **asked, format="npy"))
    reply = post(site, INTERPOLATIONS, **asked, format="gif", frame_milliseconds=40)
    assert reply.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(reply.content), formats=["GIF"]) as animation:
        assert animation.n_frames == len(images) == 9  # pyright: ignore[reportAttributeAccessIssue]
        for i, image in enumerate(images):
            animation.seek(i)
            assert animation.info["duration"] == 40
            np.testing.assert_array_equal(np.asarray(animation.convert("L")), image[..., 0])


def test_one_z_goes_through_several_classes(site):
    reply = post(site, INTERPOLATIONS, label=["sandal", 7, "ankle-boot"], seed=4, steps=2, format="npy")
    want = [array(site.samples(seed=4, label=label, format="npy"))[0] for label in (5, 7, 9)]
    np.testing.assert_array_equal(array(reply), np.stack(want))
    assert (reply.headers["ganserve-seeds"], reply.headers["ganserve-labels"]) == ("4", "5,7,9")
    drawn = post(site, INTERPOLATIONS, label=[5, 7])
    assert int(drawn.headers["ganserve-seeds"]) < 2**32
    again = post(site, INTERPOLATIONS, label=[5, 7], seed=int(drawn.headers["ganserve-seeds"]))
    assert again.content == drawn.content


@both
def test_every_image_of_a_json_reply_can_be_asked_for_again_by_its_z(site, path):
    fields: dict[str, Any] = SMALLEST[path] | {"label": "coat", "truncation": 0.6, "format": "json"}
    if path == ARITHMETIC:
        fields["include_terms"] = True
    document = post(site, path, **fields).json()
    assert document["version"] == site.front.models["tiny"].version
    images = document["images"]
    again = site.samples(
        z=[one["z"] for one in images], label=[one["label"] for one in images], format="json"
    ).json()["images"]
    assert [one["image"] for one in again] == [one["image"] for one in images]
    seeds = [1, *[None] * 6, 2] if path == INTERPOLATIONS else [None, 4, None, None]
    assert [one["seed"] for one in images] == seeds
    for one in images:
        if one["seed"] is not None:
            alone = site.samples(seed=one["seed"], label="coat", truncation=0.6)
            assert base64.b64decode(one["image"]) == alone.content


def test_a_way_between_z_has_no_seeds(site):
    z = [[1.0] * 8, [-0.5] * 8]
    reply = post(site, INTERPOLATIONS, z=z, steps=2, path="linear")
    assert "ganserve-seeds" not in reply.headers
    np.testing.assert_array_equal(
        picture(reply)[:, :8], picture(site.samples(z=[z[0]], label=0)), "without a label it is class 0"
    )


def test_arithmetic_gives_one_image_or_its_terms_before_it(site):
    alone = post(site, ARITHMETIC, terms=TERMS, label="sneaker")
    assert (alone.headers["content-type"], alone.headers["ganserve-labels"]) == ("image/png", "7")
    assert picture(alone).shape == (8, 8)
    row = picture(post(site, ARITHMETIC, terms=TERMS, label="sneaker", include_terms=True, format="webp"))
    assert row.shape[:2] == (8, 32)
    np.testing.assert_array_equal(row[:, -8:, 0], picture(alone))
    np.testing.assert_array_equal(row[:, 8:16, 0], picture(site.samples(seed=4, label="sneaker")))


@both
def test_replies_say_which_model_and_engine_and_where_the_time_went(site, path):
    headers = post(site, path, **SMALLEST[path]).headers
    assert headers["ganserve-model"] == "tiny"
    assert headers["ganserve-version"] == site.front.models["tiny"].version
    assert headers["ganserve-engine"] == "openvino"
    assert "encode;dur=" in headers["server-timing"]
    assert headers["x-request-id"]
    bare = post(site, path, **SMALLEST[path], model="bare")
    assert bare.status_code == 200
    assert "ganserve-labels" not in bare.headers


@pytest.mark.parametrize(
    ("path", "body", "field", "says"),
    [
        (INTERPOLATIONS, {}, "seeds", "give seeds, z, or a list"),
        (INTERPOLATIONS, {"seeds": [1]}, "seeds", "length >= 2"),
        (INTERPOLATIONS, {"seeds": [1] * 33}, "seeds", "length <= 32"),
        (INTERPOLATIONS, {"seeds": [1, -1]}, "seeds[1]", ">= 0"),
        (INTERPOLATIONS, {"seeds": [1, MAX_SEED + 1]}, "seeds[1]", str(MAX_SEED)),
        (INTERPOLATIONS, {"seeds": 5}, "seeds", "array"),
        (INTERPOLATIONS, {"z": [[0] * 8]}, "z", "length >= 2"),
        (INTERPOLATIONS, {"z": [[0] * 8, [0] * 7]}, "z", "z_dim is 8"),
        (INTERPOLATIONS, {"seeds": [1, 2], "label": "shoe"}, "label", "Trouser"),
        (INTERPOLATIONS, {"seeds": [1, 2], "steps": 1}, "steps", ">= 2"),
        (INTERPOLATIONS, {"seeds": [1, 2], "steps": 65}, "steps", "<= 64"),
        (INTERPOLATIONS, {"seeds": [1, 2, 3], "steps": 33}, "steps", "make 65 images; allowed are 64"),
        (INTERPOLATIONS, {"seeds": [1, 2], "path": "scenic"}, "path", "linear, spherical"),
        (INTERPOLATIONS, {"seeds": [1, 2], "format": "mp4"}, "format", "png, webp, jpeg, avif, gif, npy, json"),
        (INTERPOLATIONS, {"seeds": [1, 2], "frame_milliseconds": 19}, "frame_milliseconds", ">= 20"),
        (INTERPOLATIONS, {"seeds": [1, 2], "frame_milliseconds": 1001}, "frame_milliseconds", "<= 1000"),
        (INTERPOLATIONS, {"seeds": [1, 2], "loop": 1}, "loop", "bool"),
        (INTERPOLATIONS, {"seeds": [1, 2], "truncation": 0}, "truncation", "> 0"),
        (INTERPOLATIONS, {"seeds": [1, 2], "timeout": 0}, "timeout", "> 0"),
        (INTERPOLATIONS, {"seeds": [1, 2], "n": 3}, "n", "allowed are model, seeds, z, label"),
        (ARITHMETIC, {}, "terms", "missing"),
        (ARITHMETIC, {"terms": []}, "terms", "length >= 1"),
        (ARITHMETIC, {"terms": TERMS * 6}, "terms", "length <= 16"),
        (ARITHMETIC, {"terms": [{"seeds": [1]}]}, "terms[0].weight", "missing"),
        (ARITHMETIC, {"terms": [*TERMS, {"weight": 1}]}, "terms[3].seeds", "missing"),
        (ARITHMETIC, {"terms": [{"weight": 1, "seeds": []}]}, "terms[0].seeds", "length >= 1"),
        (ARITHMETIC, {"terms": [{"weight": 1, "seeds": [1] * 65}]}, "terms[0].seeds", "length <= 64"),
        (ARITHMETIC, {"terms": [{"weight": "1", "seeds": [1]}]}, "terms[0].weight", "float"),
        (ARITHMETIC, {"terms": [{"weight": 1, "seeds": [1], "seed": 1}]}, "terms[0].seed", "allowed are weight, seeds, label"),
        (ARITHMETIC, {"terms": [{"weight": 1, "seeds": [1], "label": 10}]}, "terms[0].label", "0 to 9"),
        (ARITHMETIC, {"terms": [{"weight": 0, "seeds": [1]}]}, "terms", "All weights are 0"),
        (ARITHMETIC, {"terms": [TERMS[1], {"weight": 1, "seeds": [4]}]}, "terms", "cancel out"),
        (ARITHMETIC, {"terms": TERMS, "format": "gif"}, "format", "png, webp, jpeg, avif, npy, json"),
        (ARITHMETIC, {"terms": TERMS, "path": "linear"}, "path", "allowed are terms, model, label"),
        (ARITHMETIC, [], "body", "object"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_named_with_what_is(site, path, body, field, says):
    detail = refused(site.ask("POST", path, json=body), 422, "invalid_field", field)
    assert says in detail
    assert len(detail) < 1000


@both
def test_bodies_have_the_limits_of_samples(site, path):
    refused(site.ask("POST", path, content=b"{"), 400, "not_json")
    refused(site.ask("POST", path, content=b"{}" + b" " * 65536), 413, "body_too_large")
    refused(site.ask("POST", path, data={"n": "1"}), 415, "unsupported_media_type")
    refused(site.ask("GET", path), 405, "method_not_allowed")
    refused(post(site, path, **SMALLEST[path], model="none"), 404, "unknown_model")
    refused(post(site, path, **SMALLEST[path], timeout=1e-9), 504, "deadline_passed")


@both
def test_a_weight_beyond_any_range_is_an_invalid_field(site, path):
    body = b'{"terms": [{"weight": 1e999, "seeds": [1]}], "z": [[1e999]]}'
    assert site.ask("POST", path, content=body).status_code == 422


@both
def test_a_full_queue_answers_429_and_a_client_that_leaves_frees_its_place(tmp_path, path):
    async def play(stage: Stage) -> None:
        site, batcher = stage.site, stage.models.batcher
        assert batcher
        stage.gate.clear()
        async with site.client() as client:
            waiting = asyncio.ensure_future(client.post("/v1/samples", json={"n": MOST, "label": 0}))
            await until(lambda: batcher.accepted_images == MOST)
            response = await client.post(path, json=SMALLEST[path])
            refused(response, 429, "queue_full")
            assert int(response.headers["retry-after"]) >= 1
            stage.gate.set()
            assert (await waiting).status_code == 200
            stage.gate.clear()

            body = json.dumps(SMALLEST[path]).encode()
            assert await ask_and_leave(site, path, body, lambda: batcher.accepted_images > 0) == []
            assert batcher.accepted_images == 0

    with staged(tmp_path) as stage:
        asyncio.run(play(stage))


@both
def test_a_model_that_is_not_ready_answers_503(tmp_path, path):
    with loaded(tmp_path, {"broken": b""}, threads=1) as models:
        refused(post(Site(models), path, **SMALLEST[path]), 503, "not_ready")


def test_many_ways_share_forward_passes_and_give_what_each_gives_alone(site):
    bodies = [{"seeds": [i, i + 1], "label": i, "steps": 5, "format": "npy"} for i in range(8)]

    async def together() -> list[bytes]:
        async with site.client() as client:
            replies = await asyncio.gather(*(client.post(INTERPOLATIONS, json=body) for body in bodies))
            return [reply.content for reply in replies]

    assert asyncio.run(together()) == [post(site, INTERPOLATIONS, **body).content for body in bodies]


numbers = st.floats(-1e39, 1e39) | st.sampled_from([0, 1, -1, 1e-300, 1e300])
small_seeds = st.lists(st.integers(-1, 40), max_size=4)
labels = st.sampled_from([0, 9, 10, "bag", "?"])
common = {
    "model": st.sampled_from(["tiny", "bare", "colour"]),
    "truncation": st.floats(0, 1.1),
    "format": st.sampled_from(["png", "webp", "gif", "npy", "json"]),
}
ways = st.fixed_dictionaries(
    {},
    optional={
        **common,
        "seeds": small_seeds,
        "z": st.lists(st.lists(numbers, min_size=8, max_size=8), max_size=3),
        "seed": st.integers(0, 9),
        "label": labels | st.lists(labels, max_size=4),
        "steps": st.integers(1, 40),
        "path": st.sampled_from(["linear", "spherical"]),
        "loop": st.booleans(),
        "frame_milliseconds": st.integers(19, 1001),
    },
)
sums = st.fixed_dictionaries(
    {
        "terms": st.lists(
            st.fixed_dictionaries({"weight": numbers, "seeds": small_seeds}, optional={"label": labels}),
            max_size=4,
        )
    },
    optional={**common, "label": labels, "normalize": st.booleans(), "include_terms": st.booleans()},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(st.just(INTERPOLATIONS), ways) | st.tuples(st.just(ARITHMETIC), sums))
def test_no_request_whatever_makes_the_service_fail(site, asked):
    path, body = asked
    response = site.ask("POST", path, json=body)
    assert response.status_code in (200, 422), response.text


def test_the_description_has_every_field_and_every_example_works(site):
    document = openapi.document(ROUTES, site.front.models.settings)
    for struct in (InterpolationRequest, ArithmeticRequest, Term):
        fields = document["components"]["schemas"][struct.__name__]["properties"]
        assert all(len(fields[name]["description"]) > 20 for name in struct.__struct_fields__)
    for path, operations in document["paths"].items():
        described = operations["post"]
        body = described["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            reply = post(site, path, **example["value"])
            answer = described["responses"][str(reply.status_code)]
            assert reply.headers["content-type"] in answer["content"]
            ours = {name for name in reply.headers if name.startswith("ganserve-")}
            assert ours <= set(answer["headers"])
