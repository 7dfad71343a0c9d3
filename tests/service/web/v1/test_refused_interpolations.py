"""Bodies of /v1/interpolations and /v1/arithmetic that are refused, and when the service can not answer."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.generator.latents import MAX_SEED
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused
from tests.service.web.stage import MOST, Stage, ask_and_leave, staged
from tests.service.web.v1.test_interpolations import ARITHMETIC, INTERPOLATIONS, SMALLEST, TERMS, both, post
from tests.waiting import until


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
