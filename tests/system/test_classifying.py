"""The shipped models that name classes, asked by the client: real pictures that nobody trained on."""

import shutil
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from ganserve import Client, Refused
from service.generator.encoder import parse
from tests.needs import needs
from tests.system.serving import ROOT, serving
from training.data.formats import load

DATA = Path("/usr/share/datasets/fashion-mnist")
PICTURES = 500


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`gan` has neither encoder nor classifier."""
    home = tmp_path_factory.mktemp("classifying")
    for name in ("fashion-mnist", "few-labels", "gan"):
        shutil.copytree(ROOT / "models" / name, home / "models" / name)
    with serving(home / "home", models=home / "models", engine="onnxruntime", default_model="gan") as one:
        yield one


def accuracy_of(model: str) -> float:
    """Of all held-out pictures, as the file says."""
    quality = parse((ROOT / f"models/{model}/generator.encoder").read_bytes()).quality["class_accuracy"]
    return quality.get("K + 1 classes", quality)["value"]


@pytest.mark.parametrize("model", ["few-labels", "fashion-mnist"])
def test_held_out_pictures_are_named_right_as_often_as_the_file_says(server, model):
    needs(DATA.is_dir(), "dataset-fashion-mnist")
    dataset, share = load(DATA), accuracy_of(model)
    chosen = np.random.default_rng(0).permutation(len(dataset.test_images))[:PICTURES]
    with Client(server.url) as client:
        found = client.classify(list(dataset.test_images[chosen, 0]), top=10, model=model)
    names = [dataset.class_names[label] for label in dataset.test_labels[chosen]]
    right = np.mean([labels[0] == name for labels, name in zip(found.labels, names, strict=True)])
    assert right == pytest.approx(share, abs=4 * sqrt(share * (1 - share) / PICTURES))
    assert {frozenset(labels) for labels in found.labels} == {frozenset(dataset.class_names)}
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()


def test_a_model_that_names_no_class_is_refused_and_those_that_do_are_named(server):
    picture = np.zeros((28, 28), np.uint8)
    with Client(server.url) as client:
        for model in ("gan", None):
            with pytest.raises(Refused, match="fashion-mnist, few-labels"):
                client.classify(picture, model=model)
        with pytest.raises(Refused, match="POST /v1/classifications"):
            client.invert(picture, model="few-labels")
        with pytest.raises(Refused, match="no PNG, JPEG or WebP"):
            client.classify(b"GIF89a", model="few-labels")
        assert client.model("few-labels")["encoder"]["outputs"] == ["logits"]
