"""POST /v1/classifications: the classes that pictures may be of."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from service.generator.contract import version
from service.generator.images import png
from tests.generators import Tiny, encoders
from tests.service.loaded import loaded
from tests.service.web.site import Site, refused

TINY, BARE = Tiny(), Tiny(classes=None)
NAMES = ("Cat", "Dog", "Hen")
PICTURES = TINY.forward(TINY.contract().rows(range(16)), np.arange(16) % 10)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """tiny has an encoder with logits, bare one of z alone, and animals, which draws no classes, a classifier; plain has nothing."""
    root = tmp_path_factory.mktemp("models")
    encoders.beside(root, "tiny", TINY)
    encoders.beside(root, "bare", BARE)
    encoders.beside(root, "animals", BARE, names=NAMES)
    files = {"tiny": TINY.file(), "bare": BARE.file(), "animals": BARE.file(), "plain": TINY.file()}
    with loaded(root, files, default_model="tiny", max_images_per_request=16, threads=2) as models:
        yield Site(models)


def base64_of(*files: bytes) -> list[str]:
    return [base64.b64encode(file).decode() for file in files]


def classify(site, *files: bytes, **fields):
    return site.ask("POST", "/v1/classifications", json={"images": base64_of(*files)} | fields)


def wanted(tiny: Tiny, pictures, names=()) -> np.ndarray:
    """The probabilities of all classes, in NumPy."""
    made = encoders.TinyEncoder(tiny.contract(), version(tiny.file()), names=names)
    logits = made.forward(pictures)[1]
    assert logits is not None
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("model", "tiny", "own", "names"), [("tiny", TINY, (), TINY.classes), ("animals", BARE, NAMES, NAMES)]
)
def test_pictures_get_their_classes_the_most_likely_first(site, model, tiny, own, names):
    reply = classify(site, *map(png, PICTURES), model=model, top=10)
    assert reply.status_code == 200, reply.text
    found, want = reply.json()["images"], wanted(tiny, PICTURES, own)
    assert len(found) == 16
    for one, shares in zip(found, want, strict=True):
        assert list(one) == ["classes"]
        told = {likely["label"]: likely["probability"] for likely in one["classes"]}
        assert told == pytest.approx(dict(zip(names, shares.tolist(), strict=True)), abs=1e-4)
        assert sum(told.values()) == pytest.approx(1)
        assert list(told.values()) == sorted(told.values(), reverse=True)
    assert (reply.json()["model"], reply.headers["ganserve-model"]) == (model, model)
    assert reply.json()["version"] == reply.headers["ganserve-version"]
    assert "ganserve-labels" not in reply.headers


def test_five_classes_are_told_or_as_many_as_are_asked_for(site):
    for fields, count in (({}, 5), ({"top": 1}, 1), ({"top": 1000}, 10), ({"model": "animals"}, 3)):
        (one,) = classify(site, png(PICTURES[0]), **fields).json()["images"]
        assert len(one["classes"]) == count


def test_the_picture_may_be_the_body_itself(site):
    want = classify(site, png(PICTURES[0]), top=2, model="animals").json()
    reply = site.ask(
        *("POST", "/v1/classifications?top=2&model=animals&timeout=20"),
        content=png(PICTURES[0]),
        headers={"content-type": "image/png"},
    )
    assert reply.json() == want


def test_many_pictures_are_answered_as_each_alone(site):
    together = classify(site, *map(png, PICTURES)).json()["images"]
    for i in (0, 7, 15):
        (alone,) = classify(site, png(PICTURES[i])).json()["images"]
        pairs = zip(alone["classes"], together[i]["classes"], strict=True)
        for one, other in pairs:
            assert one["label"] == other["label"]
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_another_size_is_said(site):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 30, 30)).save(buffer, "JPEG")
    (found,) = classify(site, buffer.getvalue()).json()["images"]
    assert found["size"] == "40x20"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("plain", "has nothing that names the class of a picture."),
        (
            "bare",
            "has nothing that names the class of a picture: its generator.encoder finds z alone.",
        ),
    ],
)
def test_a_model_that_names_no_class_is_refused_and_those_that_do_are_named(site, model, why):
    said = refused(classify(site, png(PICTURES[0]), model=model), 422, "invalid_field", "model")
    assert said == f"Model {model} {why} Models that do: animals, tiny."


def test_where_a_classifier_is_nobody_is_told_that_there_is_a_z(site):
    asked = {"model": "animals", "images": base64_of(png(PICTURES[0]))}
    for reply in (
        site.ask("POST", "/v1/inversions", json=asked),
        site.ask(
            *("POST", "/v1/images/variations"),
            data={"model": "animals"},
            files={"image": png(PICTURES[0])},
        ),
    ):
        assert reply.status_code in (400, 422)
        assert "has a classifier and no encoder" in reply.text
        assert "POST /v1/classifications" in reply.text
    assert site.get("/v1/models/animals").json()["encoder"]["outputs"] == ["logits"]
    assert site.get("/v1/models/animals").json()["encoder"]["classes"] == list(NAMES)
    assert site.get("/v1/models/tiny").json()["encoder"]["outputs"] == ["z", "logits"]
    assert site.get("/v1/models/animals").json()["encoder"]["golden"] < 0.01


def test_without_a_name_the_only_model_that_names_classes_is_asked(tmp_path):
    encoders.beside(tmp_path, "animals", BARE, names=NAMES)
    files = {"plain": TINY.file(), "animals": BARE.file()}
    with loaded(tmp_path, files, default_model="plain") as models:
        assert classify(Site(models), png(PICTURES[0])).json()["model"] == "animals"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"images": []}, "images"),
        ({"images": base64_of(png(PICTURES[0])) * 17}, "images"),
        ({"images": ["no base64!"]}, "images[0]"),
        ({"images": base64_of(png(PICTURES[0]), b"GIF89a")}, "images[1]"),
        ({"images": base64_of(b"")}, "images"),
        ({}, "images"),
        ({"images": base64_of(png(PICTURES[0])), "top": 0}, "top"),
        ({"images": base64_of(png(PICTURES[0])), "top": 1001}, "top"),
        ({"images": base64_of(png(PICTURES[0])), "top": "all"}, "top"),
        ({"images": base64_of(png(PICTURES[0])), "label": 1}, "label"),
    ],
)
def test_what_can_not_be_classified_is_refused_with_the_field(site, fields, field):
    refused(site.ask("POST", "/v1/classifications", json=fields), 422, "invalid_field", field)


def test_it_shares_the_batcher_and_nothing_is_kept_of_it(site):
    def answered() -> float:
        return REGISTRY.get_sample_value("ganserve_images_total", {"model": "animals/encoder"}) or 0

    before, batcher = answered(), site.front.models.batcher
    assert classify(site, *map(png, PICTURES), model="animals").status_code == 200
    assert answered() == before + 16
    classify(site, b"nothing")
    assert batcher.accepted_images == 0


def test_a_deadline_holds(site):
    refused(classify(site, png(PICTURES[0]), timeout=1e-6), 504, "deadline_passed")
