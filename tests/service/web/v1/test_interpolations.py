import asyncio
import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.drawing.latent.arithmetic import ArithmeticRequest, Term
from service.drawing.latent.interpolation import InterpolationRequest
from service.web import openapi
from service.web.v1.interpolations import ROUTES
from tests.service.web.site import Site

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


def test_many_ways_share_forward_passes_and_give_what_each_gives_alone(site):
    bodies = [{"seeds": [i, i + 1], "label": i, "steps": 5, "format": "npy"} for i in range(8)]

    async def together() -> list[bytes]:
        async with site.client() as client:
            replies = await asyncio.gather(*(client.post(INTERPOLATIONS, json=body) for body in bodies))
            return [reply.content for reply in replies]

    assert asyncio.run(together()) == [post(site, INTERPOLATIONS, **body).content for body in bodies]


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
