"""`training encode` by the command line: a generator's own pictures are the data set, so that all of them can be found."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from service.generator import contract
from service.generator.encoder import parse, require_of
from service.generator.latents import latents
from tests.generators import Tiny
from tests.generators.translators import Inverter
from tests.training.tiny import command, write_npz
from training.data.formats import load
from training.encoding.export import opened
from training.encoding.fit import Recipe, errors, target

CLASSES = ("dark", "grey", "light")
TINY = Tiny("mine", z_dim=2, classes=CLASSES, image=(1, 28, 28))
QUICK = (
    *("--images", 960, "--batch", 32, "--width", 8, "--threads", 1, "--judge", "plain", "--judge-images", 64),
    *("--pictures", 20, "--steps", 10),
)
CARD = "# mine\n\n## Limits\n\n- none\n"


def model(folder: Path, file: bytes) -> Path:
    folder.mkdir()
    (folder / "generator.onnx").write_bytes(file)
    (folder / "README.md").write_text(CARD)
    return folder


def pictures(seeds: range) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array(seeds) % len(CLASSES)
    return TINY.forward(latents(seeds, TINY.z_dim), labels), labels


def own_pictures(path: Path) -> Path:
    images, labels = pictures(range(5000, 5300))
    np.savez(path, images=images, labels=labels, class_names=np.array(CLASSES))
    return path


def test_an_encoder_gives_back_pictures_and_says_how_well(tmp_path: Path) -> None:
    folder, data = model(tmp_path / "mine", TINY.file()), own_pictures(tmp_path / "set.npz")
    result = command("encode", folder, "--data", data, "--cache", tmp_path, *QUICK)
    assert result.exit_code == 0, result.output
    file = (folder / "generator.encoder").read_bytes()
    document = parse(file)
    require_of(document, TINY.contract(), contract.version(TINY.file()))
    images, labels = pictures(range(100))
    z, logits = opened(file)(images)
    # Nothing depends on the others of a batch.
    assert np.allclose(opened(file)(images[:1])[0], z[:1], atol=1e-4)
    errors = [
        np.abs(one - images.astype(float)).mean() for one in (TINY.forward(z, labels), images.mean(axis=0))
    ]
    assert errors[0] < errors[1] / 2
    assert (logits.argmax(axis=1) == labels).mean() > 0.8
    ways = {one["way"]: one["absolute_error"]["value"] for one in document.quality["ways"]}
    assert ways["Adam from the encoder's z, 10 steps"] < ways["the encoder, told the class"]
    assert len(ways) == 5
    card = (folder / "README.md").read_text()
    with Image.open(folder / "generator.encoder.png") as picture:
        assert picture.height < picture.width
    assert card.index("the nearest training image") < card.index("## Limits")
    # The same pictures under another version: only its binding is new.
    again = onnx.load_model_from_string(TINY.file())
    newer = contract.write(again, msgspec.structs.replace(TINY.contract(), name="newer"))
    (folder / "generator.onnx").write_bytes(newer)
    assert command("encode", folder, "--data", data, "--cache", tmp_path, "--figures", *QUICK).exit_code == 0
    require_of(parse((folder / "generator.encoder").read_bytes()), TINY.contract(), contract.version(newer))
    assert (folder / "README.md").read_text().count("## Encoder") == 1


def test_an_error_in_features_is_none_where_the_picture_comes_back_and_leads_there(tmp_path: Path) -> None:
    data = own_pictures(tmp_path / "set.npz")
    of = target(model(tmp_path / "mine", TINY.file()), load(data), 1)
    images, labels = (torch.from_numpy(one) for one in pictures(range(8)))
    right = torch.from_numpy(latents(range(8), TINY.z_dim))
    z = right.clone().requires_grad_()
    recipe = Recipe(pixels=0.0, features=1.0)
    both, twice = torch.cat([images, images]), torch.cat([labels, labels])

    def error(found: torch.Tensor) -> torch.Tensor:
        both_found = torch.cat([right, found])
        return errors(lambda _: (both_found,), of, recipe, torch.nn.Flatten(), both, right, twice)["features"]

    assert error(z).item() < 1e-4  # pictures are rounded
    away = (right + 0.3).requires_grad_()
    before = error(away)
    (slope,) = torch.autograd.grad(before, away)
    assert error(away - 0.01 * slope / slope.abs().max()) < before


def test_the_judge_whose_features_were_learnt_from_does_not_measure(tmp_path: Path) -> None:
    folder, data = model(tmp_path / "mine", TINY.file()), own_pictures(tmp_path / "set.npz")
    result = command("encode", folder, "--data", data, *QUICK, "--features", 1)
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert "measure by another" in result.output
    assert not (folder / "generator.encoder").exists()


def test_without_a_gradient_it_learns_z_alone(tmp_path: Path) -> None:
    model_ = TINY.model()
    before = next(node for node in model_.graph.node if node.op_type == "Relu")
    before.op_type = "HardSwish"
    file = contract.write(model_, msgspec.structs.replace(TINY.contract(), golden=[]))
    folder, data = model(tmp_path / "mine", file), own_pictures(tmp_path / "set.npz")
    result = command("encode", folder, "--data", data, "--cache", tmp_path, *QUICK, "--images", 64)
    assert result.exit_code == 0, result.output
    assert "no gradient is known of its operators HardSwish" in result.output
    ways = parse((folder / "generator.encoder").read_bytes()).quality["ways"]
    assert not any("Adam" in one["way"] for one in ways)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"size": 32}, "has (1, 32, 32)"), ({"classes": 2}, "those of data set set are 0, 1")],
)
def test_another_data_set_is_refused_in_one_line(tmp_path: Path, changes: dict, says: str) -> None:
    folder, data = model(tmp_path / "mine", TINY.file()), write_npz(tmp_path / "set.npz", **changes)
    result = command("encode", folder, "--data", data, *QUICK)
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert says in result.output
    assert not (folder / "generator.encoder").exists()


def test_a_generator_that_is_given_pictures_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = model(tmp_path / "mine", Inverter(shape=(1, 28, 28)).file())
    result = command("encode", folder, "--data", write_npz(tmp_path / "set.npz"), *QUICK)
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert "it draws from pictures" in result.output
