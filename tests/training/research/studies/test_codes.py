"""The figures of codes: what they must be where the truth is known, and the program on a run of seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny import SHORT_RUN, command, write_npz
from training.research.studies import codes
from training.settings import Settings


def test_a_line_is_found_within_categories_of_opposite_meaning() -> None:
    rng = np.random.default_rng(0)
    number, category = rng.uniform(-1, 1, 4000), np.arange(4000) % 2
    turned = np.where(category == 1, number, -number) + 5 * category
    assert codes.explains(number, turned, category) == pytest.approx(1)
    noisy = turned + rng.normal(size=4000) * number.std()
    assert codes.explains(number, noisy, category) == pytest.approx(0.5, abs=0.03)
    assert codes.explains(rng.normal(size=4000), turned, category) < 0.01


def test_attributes_are_those_of_a_bar() -> None:
    images = np.zeros((2, 1, 28, 28), np.uint8)
    images[0, 0, 4:8, 10:20] = 200
    images[1, 0, 20:24, 14:16] = 100
    found = codes.attributes(images)
    assert found["brightness"].tolist() == pytest.approx([8000, 800])
    assert found["place"].tolist() == pytest.approx([5.5, 21.5])
    # The standard deviation of k equal places is sqrt((k^2 - 1) / 12).
    assert found["height"].tolist() == pytest.approx([1.25**0.5] * 2)
    assert found["width"].tolist() == pytest.approx([(99 / 12) ** 0.5, 0.5])


def test_real_images_are_counted_by_the_category_that_is_found() -> None:
    from tests.training.pictures import squares

    dataset = squares(test=600)

    def knows(pictures: np.ndarray) -> torch.Tensor:
        label = pictures[:, 0, :14].mean((1, 2)) < 40
        left = pictures[:, 0, :, :14].mean((1, 2)) > pictures[:, 0, :, 14:].mean((1, 2))
        kind = np.where(label, 2, np.where(left, 0, 1))
        return torch.nn.functional.one_hot(torch.from_numpy(kind), 3).float()

    found = codes.categories(knows, dataset, Settings(codes=0, categories=3))
    assert found["purity"]["value"] > 0.99
    assert found["chance"] < 0.45
    assert [one["classes"][0] for one in found["commonest"]] == list(dataset.class_names)


def test_the_program_measures_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "_BATCH", 20)
    data, run, out = write_npz(tmp_path / "stripes.npz"), tmp_path / "run", tmp_path / "codes.json"
    for preset, folder in (("infogan", run), ("dcgan", tmp_path / "other")):
        assert (
            command("train", "--data", data, "--run", folder, "--preset", preset, *SHORT_RUN).exit_code == 0
        )
    (tmp_path / "systems.md").write_text("<!-- figures: codes -->\n<!-- /figures -->\n")
    codes.command.main(
        [str(run), "--data", str(data), "--images", "500", "--out", str(out)], standalone_mode=False
    )
    found = json.loads(out.read_text())
    assert set(found["information"]) == {"c1", "c2", "category"}
    assert found["information"]["category"]["value"] <= np.log(10)
    assert found["numbers"]["numbers of z"]["count"] == 3
    assert codes.block(found) in (tmp_path / "systems.md").read_text()
    with pytest.raises(Exception, match="'dcgan' has no codes"):
        codes.command.main(
            [str(tmp_path / "other"), "--data", str(data), "--out", str(out)], standalone_mode=False
        )
