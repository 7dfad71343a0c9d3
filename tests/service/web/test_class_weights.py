"""Weights over classes, on every route where a label stands: taken in the same words, or refused with the ones that take them."""

import io
import json

import numpy as np
import pytest

from tests.generators import Tiny
from tests.service.generator.file.test_class_weights import file
from tests.service.loaded import loaded
from tests.service.web.kserve.asking import pixels as tensor_of
from tests.service.web.site import Site

BOTH = {"Sneaker": 0.25, "Bag": 0.75}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    files = {"mixing": file(), "whole": Tiny().file()}
    with loaded(tmp_path_factory.mktemp("models"), files) as models:
        yield Site(models)


def drawn(site, **asked) -> np.ndarray:
    """uint8 [n, H, W, C]."""
    reply = site.samples(model="mixing", format="npy", **asked)
    assert reply.status_code == 200, reply.text
    return np.load(io.BytesIO(reply.content))


def test_a_sum_and_its_terms_are_drawn_of_several_classes(site):
    terms = [{"weight": 1, "seeds": [1], "label": "Coat"}, {"weight": 1, "seeds": [2]}]
    asked = {"terms": terms, "label": BOTH, "include_terms": True, "format": "json", "model": "mixing"}
    images = site.ask("POST", "/v1/arithmetic", json=asked).json()["images"]
    assert [one["label"] for one in images] == ["Coat", BOTH, BOTH]
    whole = drawn(site, z=[one["z"] for one in images], label=["Coat", BOTH, BOTH])
    reply = site.ask("POST", "/v1/arithmetic", json=asked | {"format": "npy"})
    np.testing.assert_array_equal(np.load(io.BytesIO(reply.content)), whole)
    assert (whole[2] != drawn(site, z=[images[2]["z"]], label="Bag")[0]).any()
    terms[1]["label"] = {"shoe": 1}
    refused = site.ask("POST", "/v1/arithmetic", json=asked).json()
    assert (refused["field"], "'shoe' is no class" in refused["detail"]) == ("terms[1].label", True)


def test_instances_of_kserve_v1_have_classes_and_weights(site):
    instances = [{"seed": 3, "label": BOTH}, {"seed": 5}, {"seed": 7, "label": "Bag"}]
    reply = site.ask("POST", "/v1/models/mixing:predict", json={"instances": instances})
    assert reply.status_code == 200, reply.text
    got = np.array(reply.json()["predictions"], np.uint8)
    for image, seed, label in zip(got, (3, 5, 7), (BOTH, 5, "Bag"), strict=True):
        np.testing.assert_array_equal(image, drawn(site, seed=seed, label=label)[0])
    refused = site.ask("POST", "/v1/models/whole:predict", json={"instances": instances})
    assert (refused.status_code, "takes one class" in refused.json()["error"]) == (400, True)


def infer(site, weights, model="mixing", **more):
    tensors = [
        {"name": "seed", "datatype": "INT64", "shape": [2], "data": [3, 5]},
        {"name": "class_weights", "datatype": "FP32", "shape": list(np.shape(weights)), "data": weights},
    ]
    tensors += [
        {"name": name, "datatype": "INT64", "shape": [2], "data": data} for name, data in more.items()
    ]
    return site.ask("POST", f"/v2/models/{model}/infer", json={"inputs": tensors})


def rows(*labels) -> list[list[float]]:
    table = np.zeros((len(labels), 10))
    for row, label in zip(table, labels, strict=True):
        row[list(label)] = list(label.values())
    return table.tolist()


def test_a_tensor_of_kserve_v2_has_a_row_of_weights_for_each_image(site):
    metadata = site.get("/v2/models/mixing").json()
    assert {"name": "class_weights", "datatype": "FP32", "shape": [-1, 10]} in metadata["inputs"]
    got = tensor_of(infer(site, rows({7: 1, 8: 3}, {9: 2}))).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(got[0], drawn(site, seed=3, label=BOTH)[0])
    np.testing.assert_array_equal(got[1], drawn(site, seed=5, label="Ankle boot")[0])


@pytest.mark.parametrize(
    ("weights", "more", "says"),
    [
        (rows({7: 1}, {7: -1, 8: 2}), {}, "from 0 on"),
        (rows({7: 1}, {}), {}, "from 0 on"),
        (rows({7: 1}), {}, "has 1 entries and the other input 2"),
        ([[1.0, 2.0]] * 2, {}, "allowed is [n, 10]"),
        (rows({7: 1}, {8: 1}), {"label": [1, 2]}, "exclude each other"),
    ],
)  # fmt: skip
def test_a_tensor_that_is_no_weights_is_refused(site, weights, more, says):
    reply = infer(site, weights, **more)
    assert reply.status_code == 400
    assert says in reply.json()["error"]


def test_a_model_of_one_class_for_an_image_has_no_tensor_of_weights(site):
    assert "class_weights" not in site.get("/v2/models/whole").text
    reply = infer(site, rows({7: 1}, {8: 1}), model="whole")
    assert reply.status_code == 400
    assert "no input 'class_weights'; allowed are z or seed, and label." in reply.json()["error"]


@pytest.mark.parametrize(
    ("path", "asked", "says"),
    [
        ("/v1/datasets", {"n": 2, "label": BOTH}, "taken by /v1/samples, "),
        ("/v1/datasets", {"n": 2, "label": ["Bag", BOTH]}, "taken by /v1/samples, "),
        ("/v1/images/generations", {"prompt": "a bag and a sneaker"}, "taken by /v1/samples, "),
        ("/models/mixing", {"inputs": "a bag and a sneaker"}, "taken by /v1/samples, "),
    ],
)
def test_a_route_that_takes_one_class_names_those_that_take_weights(site, path, asked, says):
    if "n" in asked or "prompt" in asked:
        asked = asked | {"model": "mixing"}
    reply = site.ask("POST", path, json=asked)
    assert 400 <= reply.status_code < 500
    assert says in json.dumps(reply.json()), reply.text


def test_weights_that_no_float_can_add_up_are_refused(site):
    reply = site.samples(model="mixing", label={"Bag": 1e308, "Coat": 1e308})
    assert (reply.status_code, reply.json()["field"]) == (422, "label")
