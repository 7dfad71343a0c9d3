"""POST /v1/inversions: z of pictures, and what the generator draws of it."""

import asyncio
import base64
import io

import numpy as np
import pytest
from PIL import Image

from service.drawing.latent import refinement
from service.generator.images import decode, png
from tests.generators import Tiny, encoders
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused

TINY, BARE, WIDE = Tiny(), Tiny(classes=None), Tiny(z_dim=100)
COLOUR = Tiny(image=(3, 16, 16))
PICTURE = TINY.forward(TINY.contract().rows([5]), np.array([3]))[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """tiny, bare, wide and colour have encoders; plain has none, and other has that of another generator."""
    root = tmp_path_factory.mktemp("models")
    encoders.beside(root, "tiny", TINY)
    encoders.beside(root, "bare", BARE)
    encoders.beside(root, "wide", WIDE)
    encoders.beside(root, "colour", COLOUR)
    (root / "other").mkdir()
    (root / "other/generator.encoder").write_bytes((root / "tiny/generator.encoder").read_bytes())
    files = {
        "tiny": TINY.file(),
        "bare": BARE.file(),
        "wide": WIDE.file(),
        "colour": COLOUR.file(),
        "plain": TINY.file(),
        "other": Tiny(weights_seed=1).file(),
    }
    with loaded(root, files, default_model="tiny", max_images_per_request=16, threads=2) as models:
        yield Site(models)


@pytest.fixture(scope="module")
def tiny():
    """The encoder of tiny, in NumPy."""
    from service.generator.contract import version

    return encoders.TinyEncoder(TINY.contract(), version(TINY.file()))


def base64_of(*files: bytes) -> list[str]:
    return [base64.b64encode(file).decode() for file in files]


def invert(site, *files: bytes, **fields):
    return site.ask("POST", "/v1/inversions", json={"images": base64_of(*files)} | fields)


def test_without_a_name_the_only_model_with_an_encoder_is_asked(tmp_path):
    encoders.beside(tmp_path, "tiny", TINY)
    files = {"plain": TINY.file(), "tiny": TINY.file()}
    with loaded(tmp_path, files, default_model="plain") as models:
        site = Site(models)
        assert invert(site, png(PICTURE)).json()["model"] == "tiny"
        varied = site.ask("POST", "/v1/images/variations", files={"image": png(PICTURE)})
        assert varied.json()["model"] == "tiny"
        refused(invert(site, png(PICTURE), model="plain"), 422, "invalid_field", "model")


def test_a_picture_gets_its_z_class_and_reconstruction(site, tiny):
    reply = invert(site, png(PICTURE))
    assert reply.status_code == 200, reply.text
    (found,) = reply.json()["images"]
    z, logits = tiny.forward(PICTURE[None])
    assert TINY.classes is not None
    shares = np.exp(logits[0] - logits[0].max())
    shares /= shares.sum()
    label = int(shares.argmax())
    np.testing.assert_allclose(found["z"], z[0], atol=1e-5)
    assert found["label"] == TINY.classes[label]
    assert found["probability"] == pytest.approx(shares.max(), abs=1e-4)
    drawn = TINY.forward(np.array([found["z"]], np.float32), np.array([label]))[0]
    got = decode(base64.b64decode(found["reconstruction"]))
    assert np.abs(got.astype(int) - drawn).max() <= 1
    assert found["error"] == pytest.approx(np.abs(got.astype(int) - PICTURE).mean(), abs=1e-3)
    assert "size" not in found
    assert reply.headers["ganserve-model"] == "tiny"
    assert reply.headers["ganserve-labels"] == str(label)


def test_its_z_and_label_draw_the_same_reconstruction_again(site):
    (found,) = invert(site, png(PICTURE)).json()["images"]
    again = site.samples(z=[found["z"]], label=found["label"])
    assert again.content == base64.b64decode(found["reconstruction"])


def test_the_picture_may_be_the_body_itself(site):
    json = invert(site, png(PICTURE), label="Bag").json()
    for query in ("label=Bag", "model=tiny&label=8&timeout=20"):
        reply = site.ask(
            "POST", f"/v1/inversions?{query}", content=png(PICTURE), headers={"content-type": "image/png"}
        )
        assert reply.json() == json


def test_many_pictures_are_answered_as_each_alone(site):
    pictures = TINY.forward(TINY.contract().rows(range(16)), np.arange(16) % 10)
    together = invert(site, *map(png, pictures)).json()["images"]
    assert len(together) == 16
    for i in (0, 7, 15):
        (alone,) = invert(site, png(pictures[i])).json()["images"]
        np.testing.assert_allclose(alone.pop("z"), together[i].pop("z"), atol=1e-5)
        assert alone["label"] == together[i]["label"]


def test_a_label_that_is_given_is_used_and_its_own_probability_told(site):
    best, *others = (
        invert(site, png(PICTURE), label=label).json()["images"][0] for label in (None, "Coat", 9)
    )
    assert [one["label"] for one in others] == ["Coat", "Ankle boot"]
    assert all(one["probability"] <= best["probability"] for one in others)
    two = invert(site, png(PICTURE), png(PICTURE), label=["Coat", 9]).json()["images"]
    assert [one["label"] for one in two] == ["Coat", "Ankle boot"]
    assert [one["reconstruction"] for one in two] == [one["reconstruction"] for one in others]


def test_a_model_without_classes_has_z_alone(site):
    (found,) = invert(site, png(PICTURE), model="bare").json()["images"]
    assert (found["label"], found["probability"], len(found["z"])) == (None, None, 8)
    refused(invert(site, png(PICTURE), model="bare", label=0), 422, "invalid_field", "label")


def test_another_size_is_said(site):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 30, 30)).save(buffer, "JPEG")
    (found,) = invert(site, buffer.getvalue()).json()["images"]
    assert found["size"] == "40x20"


def test_a_model_without_an_encoder_says_what_makes_one(site):
    said = refused(invert(site, png(PICTURE), model="plain"), 422, "invalid_field", "model")
    assert said == (
        "Model plain has no encoder, which finds the z of a picture: `python -m training encode` makes one."
    )


def test_a_foreign_encoder_leaves_the_generator_served_and_says_why(site):
    assert site.samples(model="other").status_code == 200
    said = refused(invert(site, png(PICTURE), model="other"), 422, "invalid_field", "model")
    assert "generator.encoder is not used: it is of generator" in said
    assert "of generator" in site.get("/v1/models/other").json()["encoder"]["problem"]


def test_the_card_says_what_is_known_of_an_encoder(site):
    assert site.get("/v1/models/plain").json()["encoder"] is None
    card = site.get("/v1/models/tiny").json()["encoder"]
    assert card["golden"] < 0.01


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"images": []}, "images"),
        ({"images": base64_of(png(PICTURE)) * 17}, "images"),
        ({"images": ["no base64!"]}, "images[0]"),
        ({"images": base64_of(png(PICTURE), b"GIF89a")}, "images[1]"),
        ({"images": base64_of(b"")}, "images"),
        ({}, "images"),
        ({"images": base64_of(png(PICTURE)), "label": "Hat"}, "label"),
        ({"images": base64_of(png(PICTURE)), "label": [1, 2]}, "label"),
        ({"images": base64_of(png(PICTURE)), "seed": 1}, "seed"),
        ({"images": base64_of(png(PICTURE)), "steps": 17}, "steps"),
        ({"images": base64_of(png(PICTURE)) * 5, "steps": 13}, "steps"),
    ],
)
def test_what_can_not_be_inverted_is_refused_with_the_field(site, fields, field):
    refused(site.ask("POST", "/v1/inversions", json=fields), 422, "invalid_field", field)


def test_steps_of_refinement_bring_the_reconstruction_to_the_picture(site):
    pictures = COLOUR.forward(COLOUR.contract().rows(range(4)), np.arange(4))
    asked = {"images": base64_of(*map(png, pictures)), "label": [0, 1, 2, 3], "model": "colour"}
    plain, refined = (
        site.ask("POST", "/v1/inversions", json=asked | {"steps": steps}).json()["images"]
        for steps in (0, 10)
    )
    for i, (before, after) in enumerate(zip(plain, refined, strict=True)):
        assert after["encoder_error"] == before["error"] > 20
        assert after["error"] < 1
        assert 1 <= after["steps"] <= 10
        assert not {"steps", "encoder_error"} & set(before)
        drawn = COLOUR.forward(np.array([after["z"]], np.float32), np.array([i]))[0]
        assert np.abs(drawn.astype(int) - pictures[i]).mean() == pytest.approx(after["error"], abs=0.05)


def test_the_same_picture_and_steps_give_the_same_z(site):
    one, other = (invert(site, png(PICTURE), steps=3).json()["images"][0]["z"] for _ in range(2))
    assert one == other


def test_refinement_ends_before_the_deadline_with_what_it_has(site, monkeypatch):
    step = refinement._step

    async def slow(*words):
        await asyncio.sleep(0.2)
        await step(*words)

    monkeypatch.setattr(refinement, "_step", slow)
    reply = invert(site, png(PICTURE), label=3, steps=16, timeout=2)
    assert reply.status_code == 200, reply.text
    (found,) = reply.json()["images"]
    assert 1 <= found["steps"] < 16
    assert found["error"] < found["encoder_error"]


def test_a_wide_z_is_refined_in_some_of_its_directions(site):
    picture = WIDE.forward(WIDE.contract().rows([5]), np.array([3]))[0]
    (found,) = invert(site, png(picture), label=3, steps=8, model="wide").json()["images"]
    assert found["error"] < 0.7 * found["encoder_error"]


def test_nothing_is_kept_of_what_was_refused_or_answered(site):
    batcher = site.front.models.batcher
    invert(site, png(PICTURE))
    invert(site, b"nothing")
    assert batcher.accepted_images == 0


def test_a_deadline_holds(site):
    refused(invert(site, png(PICTURE), timeout=1e-6), 504, "deadline_passed")
