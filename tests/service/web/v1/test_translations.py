"""POST /v1/translations, in process, and what refuses a generator that is given a picture."""

import base64
import io
import re
from collections.abc import Iterable

import numpy as np
import pytest
from PIL import Image

from ganserve.generating.engine import LocalModel
from ganserve.generating.plan import Refused
from service.generator import images
from service.generator.latents import latents
from service.web.v1.translations import ROUTES
from tests.generators import Tiny
from tests.generators.translators import FULL, PLAIN, photos
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused

PHOTOS = photos(3, PLAIN.shape)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    files = {"tiny": Tiny().file(), "inverter": PLAIN.file(), "full": FULL.file()}
    with loaded(root, files, default_model="tiny", engine="onnxruntime", provenance="on") as models:
        yield Site(models)


def encoded(pictures: Iterable[np.ndarray]) -> list[str]:
    return [base64.b64encode(images.png(one)).decode() for one in pictures]


def translated(client, **fields):
    answer = client.ask("POST", "/v1/translations", json={"model": "inverter"} | fields)
    assert answer.status_code == 200, answer.text
    return answer


def pixels(content: bytes) -> np.ndarray:
    """uint8 [C, H, W]."""
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(content)))).transpose(2, 0, 1)


def test_a_picture_comes_back_translated(client):
    answer = translated(client, images=encoded(PHOTOS[:1]))
    np.testing.assert_array_equal(pixels(answer.content), 255 - PHOTOS[0])
    assert (answer.headers["content-type"], answer.headers["ganserve-model"]) == ("image/png", "inverter")
    assert not {"ganserve-seeds", "ganserve-labels", "ganserve-source-sizes"} & set(answer.headers)


def test_the_documents_example_works(client):
    assert ROUTES[0].body is not None
    for example in ROUTES[0].body.examples.values():
        assert translated(client, **example).status_code == 200


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_the_body_may_be_the_picture_itself(client, kind):
    content = io.BytesIO()
    Image.fromarray(PHOTOS[0].transpose(1, 2, 0)).save(content, kind, lossless=True)
    answer = client.ask(
        "POST",
        "/v1/translations?model=inverter&format=npy",
        content=content.getvalue(),
        headers={"content-type": f"image/{kind}"},
    )
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content))[0].transpose(2, 0, 1), 255 - PHOTOS[0])


def test_what_is_drawn_beside_a_picture_is_asked_for_as_of_samples(client):
    pictures = photos(2, FULL.shape)
    fields = {"model": "full", "images": encoded(pictures), "seed": 7, "scalars": {"strength": [2, 0.5]}}
    answer = translated(client, **fields, label=["night", "day"], format="json").json()
    assert [(one["seed"], one["label"]) for one in answer["images"]] == [(7, "night"), (8, "day")]
    z = latents([7, 8], 16)
    for i, one in enumerate(answer["images"]):
        want = FULL.translated(pictures[i : i + 1], z[i : i + 1], np.array([[2, 0][i]]), [2.0, 0.5][i])
        got = pixels(base64.b64decode(one["image"]))
        assert np.abs(got.astype(int) - want[0]).max() <= 1
    again = client.ask(
        "POST",
        "/v1/translations?model=full&seed=7&label=2&strength=2",
        content=images.png(pictures[0]),
        headers={"content-type": "image/png"},
    )
    assert again.headers["ganserve-seeds"] == "7"
    np.testing.assert_array_equal(
        pixels(again.content), pixels(base64.b64decode(answer["images"][0]["image"]))
    )


def test_each_picture_has_its_own_answer_whatever_it_was_batched_with(client):
    answer = translated(client, images=encoded(PHOTOS), format="npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)).transpose(0, 3, 1, 2), 255 - PHOTOS)


def test_a_picture_of_another_size_is_fitted_and_the_reply_says_so(client):
    large = PHOTOS[0].repeat(4, axis=1).repeat(8, axis=2)
    answer = translated(client, images=encoded([large, PHOTOS[1]]), format="npy")
    assert answer.headers["ganserve-source-sizes"] == "64x32,8x8"


def test_what_a_picture_says_of_itself_has_none_of_the_picture_that_was_given(client):
    answer = translated(client, model="full", images=encoded(photos(1, FULL.shape)), seed=3, label=1)
    told = re.search(rb'ganserve:request="([^"]*)"', answer.content)
    assert told is not None
    assert told[1].decode().replace("&quot;", '"') == '{"seed":3,"label":1}'
    assert b'ganserve:route="/v1/translations"' in answer.content


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({}, "images", "missing"),
        ({"images": []}, "images", "allowed are 1 to"),
        ({"images": ["!"]}, "images[0]", "base64"),
        ({"images": [base64.b64encode(b"GIF89a").decode()]}, "images", "no PNG, JPEG or WebP"),
        ({"images": encoded(PHOTOS[:1]), "seed": 1}, "seed", "draws nothing beside the picture"),
        ({"images": encoded(PHOTOS[:1]), "label": 1}, "label", "unconditional"),
        ({"images": encoded(PHOTOS[:1]), "scalars": {"psi": 1}}, "scalars", "no scalar 'psi'"),
        ({"images": encoded(PHOTOS[:1]), "model": "tiny"}, "model", "POST /v1/samples"),
        ({"images": encoded(PHOTOS[:2]), "model": "full", "label": [1]}, "label", "1 entries for 2"),
        ({"images": encoded(PHOTOS[:1]), "truncation": 0.5}, "truncation", "no field"),
    ],
)
def test_what_can_not_be_is_refused_with_the_field(client, fields, field, says):
    answer = client.ask("POST", "/v1/translations", json={"model": "inverter"} | fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert says in answer.json()["detail"]


def test_without_a_name_the_only_model_that_takes_pictures_is_asked(client, tmp_path):
    asked = {"images": encoded(PHOTOS[:1])}
    told = refused(client.ask("POST", "/v1/translations", json=asked), 422, "invalid_field", "model")
    assert "the default one, tiny, cannot do this; those that can are full, inverter" in told
    for default in ("tiny", "inverter"):
        files = {"tiny": Tiny().file(), "inverter": PLAIN.file()}
        with loaded(tmp_path / default, files, default_model=default, engine="onnxruntime") as models:
            site = Site(models)
            answer = site.ask("POST", "/v1/translations", json=asked)
            edited = site.ask("POST", "/v1/images/edits", files={"image": images.png(PHOTOS[0])})
        np.testing.assert_array_equal(pixels(answer.content), 255 - PHOTOS[0])
        assert answer.headers["ganserve-model"] == edited.json()["model"] == "inverter"
    with loaded(tmp_path / "none", {"tiny": Tiny().file()}) as models:
        told = refused(
            Site(models).ask("POST", "/v1/translations", json=asked), 422, "invalid_field", "model"
        )
    assert told.startswith("Model tiny makes pictures of seeds")


def test_a_body_of_another_kind_is_refused(client):
    answer = client.ask("POST", "/v1/translations", content=b"x", headers={"content-type": "image/gif"})
    assert answer.status_code == 415
    assert "image/webp" in answer.json()["detail"]
    asked = {"content": images.png(PHOTOS[0]), "headers": {"content-type": "image/png"}}
    answer = client.ask("POST", "/v1/translations?model=inverter&colour=red", **asked)
    assert (answer.status_code, answer.json()["field"]) == (422, "colour")


ASKED = {
    "/v1/samples": {"seed": 1},
    "/v1/samples of z": {"z": [[0.0] * 192]},
    "/v1/interpolations": {"seeds": [1, 2]},
    "/v1/arithmetic": {"terms": [{"weight": 1, "seeds": [1]}]},
    "/v1/datasets": {"n": 1},
    "/v1/images/generations": {"prompt": "x"},
    "/v1/models/inverter:predict": {"instances": [{"seed": 1}]},
}


@pytest.mark.parametrize("route", ASKED)
def test_what_draws_seeds_names_the_route_that_takes_pictures(client, route):
    named = {} if ":predict" in route else {"model": "inverter"}
    answer = client.ask("POST", route.partition(" ")[0], json=named | ASKED[route])
    assert answer.status_code in (400, 422), answer.text
    assert "POST /v1/translations" in answer.text


def test_an_address_draws_no_picture_of_a_picture(client):
    answer = client.get("/v1/models/inverter/images/1.png")
    assert answer.status_code == 422
    assert "POST /v1/translations" in answer.json()["detail"]


def test_a_card_says_what_its_model_is_given(client):
    cards = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    assert cards["tiny"]["source"] is None
    assert cards["full"]["source"] == {"channels": 1, "height": 8, "width": 12}
    assert cards["inverter"]["inputs"] == [{"name": "photo", "role": "image", "shape": [3, 8, 8]}]


def test_generate_draws_no_set_of_such_a_model(tmp_path, monkeypatch):
    monkeypatch.setenv("GANSERVE_ENGINE", "onnxruntime")
    (tmp_path / "generator.onnx").write_bytes(PLAIN.file())
    with pytest.raises(Refused, match="POST /v1/translations"):
        LocalModel(f"{tmp_path}")
