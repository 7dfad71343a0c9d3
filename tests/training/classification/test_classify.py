"""`training classify` by the command line, on pictures that few labels are enough for; its files are read as the service reads them."""

from pathlib import Path

import numpy as np
import pytest

from service.drawing.latent.seen import probabilities
from service.generator import loading
from service.generator.encoder import parse
from service.generator.engines import encoding
from service.settings import Settings
from tests.training.tiny import command, write_npz
from training.classification import learning
from training.data.formats import load
from training.encoding.export import opened

QUICK = ("--labels", 12, "--images", 2400, "--threads", 1)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setattr(learning, "WIDTH", 8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "stripes.npz", count=180)


def test_what_is_written_is_served_and_names_held_out_pictures_as_the_card_says(data, tmp_path):
    model = tmp_path / "models/few"
    result = command("classify", "--data", data, "--model", model, *QUICK)
    assert result.exit_code == 0, result.output
    file = loading.read(model / "generator.onnx")
    assert file.verified
    loaded = loading.load(file, Settings(engine="onnxruntime", threads=1))
    served = encoding.load(model / "generator.onnx", loaded.contract, file.version, loaded.engine, 0)
    assert served is not None
    assert served.golden is not None
    assert (loaded.contract.classes, served.document.outputs) == (None, {"logits": 3})
    dataset = load(data)
    assert served.classes == list(dataset.class_names)
    logits = np.concatenate([served.engine.wide(one[None]) for one in dataset.test_images])
    right = np.mean(logits.argmax(axis=1) == dataset.test_labels)
    figure = served.document.quality["class_accuracy"]["K + 1 classes"]
    assert figure["value"] == pytest.approx(right)
    assert right > 0.7
    assert probabilities(logits).sum(axis=1) == pytest.approx(1)
    card = (model / "README.md").read_text("utf-8")
    for name, one in served.document.quality["class_accuracy"].items():
        row = f"| {name} | {one['value']:.4f} ± {one['standard_error']:.4f} | {len(dataset.test_images)} |"
        assert row in card
        assert f"{one['value']:.4f}" in result.output


def test_the_command_of_the_card_writes_the_same_classifier(data, tmp_path):
    logits = []
    for name in ("first", "second"):
        model = tmp_path / name
        assert command("classify", "--data", data, "--model", model, *QUICK, "--seed", 3).exit_code == 0
        file = (model / "generator.encoder").read_bytes()
        assert "--labels 12 --seed 3 --images 2400" in parse(file).training["command"]
        logits.append(opened(file)(load(data).test_images)[0])
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize(
    ("classes", "labels", "said"),
    [(1, 12, "nothing to tell apart"), (3, 10, "each has as many"), (3, 3, "two or more")],
)
def test_what_can_not_be_learnt_is_refused_in_one_line_and_leaves_nothing(tmp_path, classes, labels, said):
    data = write_npz(tmp_path / "set.npz", classes=classes)
    result = command("classify", "--data", data, "--model", tmp_path / "few", "--labels", labels)
    assert result.exit_code == 1
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "few").exists()
