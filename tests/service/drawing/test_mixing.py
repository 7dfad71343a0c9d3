"""Labels as weights over classes, as clients ask for them."""

import base64
import io

import numpy as np
import pytest

from tests.generators import Tiny
from tests.service.generator.file.test_class_weights import file
from tests.service.loaded import loaded
from tests.service.web.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    files = {"mixing": file(), "whole": Tiny().file()}
    with loaded(tmp_path_factory.mktemp("models"), files) as models:
        yield Site(models)


def pixels(reply) -> np.ndarray:
    assert reply.status_code == 200, reply.text
    return np.load(io.BytesIO(reply.content)).astype(int)


def way(site, model: str) -> np.ndarray:
    asked = {"label": ["Sneaker", "Bag"], "seed": 3, "steps": 64, "format": "npy", "model": model}
    return pixels(site.ask("POST", "/v1/interpolations", json=asked))


def test_between_classes_there_is_a_way_without_a_jump_where_the_file_takes_weights(site):
    smooth, jumps = (
        np.abs(np.diff(way(site, model), axis=0)).max(axis=(1, 2, 3)) for model in ("mixing", "whole")
    )
    assert np.flatnonzero(jumps).tolist() == [31]
    assert smooth.max() < jumps.max() / 4
    assert np.count_nonzero(smooth) > 32
    for end in (0, -1):
        assert np.abs(way(site, "mixing")[end] - way(site, "whole")[end]).max() <= 1


def test_weights_are_asked_for_by_name_slug_or_index_and_come_back_so_that_the_image_is_the_same(site):
    asked = {
        "label": {"Sneaker": 3, "ankle-boot": 6, "8": 1},
        "seed": 1,
        "model": "mixing",
        "format": "json",
        "n": 2,
    }
    reply = site.samples(**asked)
    assert reply.headers["ganserve-labels"] == "9"  # the heaviest
    for one in reply.json()["images"]:
        assert one["label"] == {
            "Sneaker": pytest.approx(0.3),
            "Bag": pytest.approx(0.1),
            "Ankle boot": pytest.approx(0.6),
        }
        again = site.samples(label=one["label"], seed=one["seed"], model="mixing")
        assert again.content == base64.b64decode(one["image"])
    middle = site.ask(
        "POST",
        "/v1/interpolations",
        json={"label": [7, 8], "seed": 1, "steps": 3, "model": "mixing", "format": "json"},
    ).json()["images"][1]
    assert middle["label"] == {"Sneaker": 0.5, "Bag": 0.5}
    again = site.samples(z=[middle["z"]], label=middle["label"], model="mixing")
    assert again.content == base64.b64decode(middle["image"])


def test_a_list_has_classes_and_weights_of_classes(site):
    both = pixels(
        site.samples(
            label=["Bag", {"Bag": 1}, {"Bag": 0.5, "Coat": 0.5}],
            z=[[0.5] * 8] * 3,
            model="mixing",
            format="npy",
        )
    )
    np.testing.assert_array_equal(both[0], both[1])
    assert (both[0] != both[2]).any()


@pytest.mark.parametrize(
    ("model", "label", "says"),
    [
        ("whole", {"Bag": 1, "Coat": 1}, "takes one class for an image"),
        ("mixing", {"Bag": -1, "Coat": 2}, "from 0 on"),
        ("mixing", {"Bag": 0}, "from 0 on"),
        ("mixing", {"Bag": 0.5, "bag": 0.5}, "there twice"),
        ("mixing", {"shoe": 1}, "'shoe' is no class"),
    ],
)  # fmt: skip
def test_weights_that_are_none_are_refused_with_the_reason(site, model, label, says):
    for path, more in (("/v1/samples", {}), ("/v1/interpolations", {"seeds": [1, 2]})):
        reply = site.ask("POST", path, json={"model": model, "label": label, **more})
        assert reply.status_code == 422
        assert reply.json()["field"] == "label"
        assert says in reply.json()["detail"]


def test_the_card_says_which_models_take_weights(site):
    cards = {card["id"]: card["mixes_classes"] for card in site.get("/v1/models").json()["data"]}
    assert cards == {"mixing": True, "whole": False}
