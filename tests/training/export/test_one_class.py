"""One folder of pictures, with a class around it or without: from the files to what is served."""

from pathlib import Path

import pytest
from PIL import Image

from service.drawing.sampler import SampleRequest, resolve
from service.generator.contract import parse
from service.generator.quality.reference import read, watch_of
from service.generator.quality.statistics import DISTANCE
from tests.service.loaded import loaded
from tests.training.tiny import TINY, command, stripes


@pytest.mark.parametrize(("folder", "classes"), [("cat", ["cat"]), ("", None)])
def test_pictures_of_one_kind_are_prepared_learnt_measured_and_served(
    tmp_path: Path, folder: str, classes: list[str] | None
) -> None:
    pictures = tmp_path / "set" / folder
    pictures.mkdir(parents=True)
    for i, image in enumerate(stripes(144, 28, 1, 3)[0]):
        Image.fromarray(image[:, :, 0]).save(pictures / f"{i:03}.png")
    data, run, model = tmp_path / "set.npz", tmp_path / "run", tmp_path / "models" / "set"
    prepared = command("prepare", "--data", tmp_path / "set", "--out", data)
    assert prepared.exit_code == 0, prepared.output
    trained = command(
        "train", "--data", data, "--run", run, "--images", 16, "--batch", 4, "--no-tensorboard", *TINY
    )
    assert trained.exit_code == 0, trained.output
    assert ("no classes: the generator will take none" in trained.output) == (classes is None)
    # The judge knows nothing of classes; one training of it is enough.
    measured = ["--data", data, "--cache", tmp_path / "judges", "--judge", "plain", "--judge-images", 64]
    exported = command(
        "export", "--run", run, "--model", model, "--threads", 1, *(measured if classes else [])
    )
    assert exported.exit_code == 0, exported.output
    file = model / "generator.onnx"
    contract = parse(file.read_bytes())
    assert contract.classes == classes
    if classes:
        assert any("All images are of one class" in note for note in contract.quality["notes"])
        assert "Fréchet distance" in (model / "README.md").read_text("utf-8")
        _, reference = read(watch_of(file).read_bytes(), contract)
        assert reference.figures.keys() == {DISTANCE}
    with loaded(tmp_path / "served", {"set": file.read_bytes()}, threads=1) as models:
        drawn = resolve(SampleRequest(seed=3, n=2), models["set"], max_images=10)
        assert drawn.label == (None if classes is None else [0, 0])
        if classes:
            named = resolve(SampleRequest(seed=3, label="cat"), models["set"], max_images=10)
            assert named.label == [0]
