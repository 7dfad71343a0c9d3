"""A learning curve of checkpoints that were copied from a run."""

import json
import shutil
from pathlib import Path

from PIL import Image

from tests.training.tiny import SHORT_RUN, command, write_npz
from training.run.checkpoint import FILE_NAME


def test_each_checkpoint_has_its_figures_in_the_order_of_images_seen_beside_the_floor(tmp_path: Path) -> None:
    data, run = write_npz(tmp_path / "data.npz", count=240), tmp_path / "run"
    for images in (32, 64):
        trained = command(
            "train", "--data", data, "--run", run, "--preset", "dcgan", *SHORT_RUN, "--images", images
        )
        assert trained.exit_code == 0, trained.output
        shutil.copy(run / FILE_NAME, tmp_path / f"{100 - images}.safetensors")

    given = ["--data", data, "--out", tmp_path / "curves" / "tiny", "--judge-images", 640, "--threads", 1]
    checkpoints = [tmp_path / "36.safetensors", tmp_path / "68.safetensors"]
    result = command("curve", *checkpoints, *given, "--cache", tmp_path / "judges")

    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "curves" / "tiny.json").read_text())
    first, last = document["checkpoints"]
    assert (first["images_seen"], last["images_seen"]) == (32, 64)
    assert "64 images: Fréchet distance" in result.output
    # Stripes are told apart at once, and what 64 images teach is no stripe.
    assert document["real"]["class_accuracy"]["value"] > 0.9
    assert last["frechet_distance"]["value"] > document["real"]["frechet_distance"]["value"]
    assert first["frechet_distance"] != last["frechet_distance"]
    with Image.open(tmp_path / "curves" / "tiny.png") as picture:
        assert picture.size == (900, 300)


def test_a_checkpoint_of_other_images_is_refused_in_one_line(tmp_path: Path) -> None:
    data, run = write_npz(tmp_path / "data.npz", count=240), tmp_path / "run"
    assert command("train", "--data", data, "--run", run, "--preset", "dcgan", *SHORT_RUN).exit_code == 0
    other = write_npz(tmp_path / "other.npz", count=240, channels=3)
    arguments = (run / FILE_NAME, "--data", other, "--out", tmp_path / "out", "--judge-images", 64)
    result = command("curve", *arguments, "--cache", tmp_path)
    assert result.exit_code == 1
    assert "makes images of shape (1, 28, 28), data set other has (3, 28, 28)" in str(result.output)
