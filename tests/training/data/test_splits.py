"""What is held out: by folders' names, drawn where there is none, and never trained on."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.files import NAMES, in_folder, png, tree
from tests.training.tiny import command
from training.data.formats import load
from training.errors import UserError


@pytest.mark.parametrize("other", ["PublicTest", "holdout", "hold-out", "query", "evaluation", "my_test"])
@pytest.mark.parametrize("deep", [True, False])
def test_nobody_is_sent_to_what_is_held_out_by_a_name_that_is_not_known(
    tmp_path: Path, other: str, deep: bool
) -> None:
    files = {f"train/{name}": content for name, content in tree().items()}
    files |= {f"{other}/{'cat/' * deep}{i}.png": png(i) for i in range(3)}
    with pytest.raises(
        UserError, match=f"train is called as a split is, and {other} not: .* give 'train' alone"
    ):
        load(in_folder(tmp_path / "set", files))


def test_a_split_in_a_folder_of_its_own_name_is_that_split(tmp_path: Path) -> None:
    files = {f"train/train/{name}": content for name, content in tree().items()}
    found = load(in_folder(tmp_path / "set", files | {"test/test/1.png": png(0)}))
    assert found.class_names == NAMES
    assert "left out, of no class: 1 (test/test/1.png)" in found.notes


@pytest.mark.parametrize(("count", "damaged"), [(2, 0), (2, 1), (6, 0), (6, 3), (6, 5)])
def test_damaged_pictures_cost_no_class_its_training_and_no_set_its_test_images(
    tmp_path: Path, count: int, damaged: int
) -> None:
    files = {f"{name}/{i}.png": png(i) for name in "abcdefgh" for i in range(count)}
    files |= {f"{name}/{damaged}.png": b"broken" for name in "abcdefgh"}
    found = load(in_folder(tmp_path / "set", files))
    test = count > 2
    assert np.bincount(found.labels).tolist() == [count - 1 - test] * 8
    assert np.bincount(found.test_labels, minlength=8).tolist() == [test] * 8
    pixels = {png_pixels(i): i for i in range(count)}
    both = zip([*found.images, *found.test_images], [*found.labels, *found.test_labels], strict=True)
    seen = [(int(label), pixels[image.tobytes()]) for image, label in both]
    assert sorted(seen) == [(label, i) for label in range(8) for i in range(count) if i != damaged]


def png_pixels(i: int) -> bytes:
    return np.asarray(Image.open(io.BytesIO(png(i)))).transpose(2, 0, 1).tobytes()


def test_test_images_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    files = {f"{split}/{name}": content for split in ("train", "test") for name, content in tree().items()}
    files["test/cat/001.png"] = png(0)
    files["train/bird/000.png"] = png(3)
    source = in_folder(tmp_path / "set", files)
    result = command("prepare", "--data", source, "--out", tmp_path / "out.npz")
    assert "22 of 24 test images are trained on, too" in result.output
    assert "(test_images[1] is images[0], of class bird)" in result.output
    clean = {name: content for name, content in files.items() if name.startswith("train/")}
    result = command("prepare", "--data", in_folder(tmp_path / "b", clean), "--out", tmp_path / "out.npz")
    assert "trained on, too" not in result.output
