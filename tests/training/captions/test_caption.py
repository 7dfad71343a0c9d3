"""`caption` by its command line: trained, stopped and gone on with, measured, exported, served."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from service.generator import loading
from service.generator.contract import parse
from service.settings import Settings as ServiceSettings
from tests.training.tiny import assert_ends_in_the_same_bits, command, write_npz
from training.captions import run as captions
from training.captions.run import open_run

TINY = ("--images", 48, "--batch", 4, "--width", 4, "--threads", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caption")
    write_npz(folder / "stripes.npz", count=240)
    done = train(folder, "whole")
    assert done.exit_code == 0, done.output
    assert (folder / "whole" / "samples.png").is_file()
    return folder


def train(folder: Path, name: str, *more: object):
    return command("caption", "train", "--data", folder / "stripes.npz", "--run", folder / name, *TINY, *more)


def measured(folder: Path, what: str, *more: object):
    few = ("--judge-images", 640, "--each", 3, "--threads", 1, "--cache", folder / "judges")
    return command("caption", what, "--run", folder / "whole", "--data", folder / "stripes.npz", *few, *more)


def test_a_stopped_run_ends_in_the_bits_of_one_that_never_stopped(place, monkeypatch):
    def again(name: str):
        return train(place, name, "--checkpoint-every", 8)

    assert_ends_in_the_same_bits(monkeypatch, captions, again, place / "whole", place / "stopped")


def test_what_a_text_asks_for_is_measured_beside_chance_and_real_pictures(place):
    told = measured(place, "evaluate", "--json")
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)["rows"]
    assert [row["all"]["images"] for row in list(rows.values())[:3]] == [3 * 18, 3 * 6, 3 * 24]
    real = rows["real pictures of these texts"]
    assert all(real[name]["value"] == 1 for name in ("brightness", "size", "pattern"))
    assert all(0 <= row[name]["value"] <= 1 for row in rows.values() for name in row)
    assert "| texts held out |" in measured(place, "evaluate").output


def test_the_exported_file_draws_what_the_network_draws(place):
    done = measured(place, "export", "--model", place / "models" / "stripes")
    assert done.exit_code == 0, done.output
    model = place / "models" / "stripes"
    said = parse((model / loading.FILE).read_bytes())
    assert [(one.role, one.shape[:1]) for one in said.declared] == [("z", [64]), ("text", [8])]
    file = loading.read(model / loading.FILE)
    assert file.verified, "the card names it"
    loaded = loading.load(file, ServiceSettings(engine="onnxruntime", threads=1))
    painter = open_run(place / "whole")
    texts = ["", *(sample.text for sample in said.golden)]
    z = said.drawn(range(len(texts)))
    got = loaded.engine.wide(said.rows(range(len(texts)), texts), None)
    assert np.abs(got.astype(int) - painter(torch.from_numpy(z), texts)).max() <= 1
    assert {path.name for path in model.iterdir()} == {"generator.onnx", "README.md", "samples.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--attribute", "warmth", "--attribute", "size"), "warmth needs colour"),
        (("--width", 8), "other settings"),
        (("--texts-alone",), "other settings"),
        (("--attribute", "taste"), "'taste' is not one of"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(place, words, said):
    refused = train(place, "whole", *words)
    assert refused.exit_code != 0
    assert said in refused.output
    assert "Traceback" not in refused.output


def test_too_few_pictures_to_compare_with_are_refused_before_a_judge_is_trained(place, tmp_path):
    few = write_npz(tmp_path / "stripes.npz", count=60)
    for what in (("evaluate",), ("export", "--model", tmp_path / "made")):
        refused = command(
            "caption", *what, "--run", place / "whole", "--data", few, "--cache", tmp_path / "judges"
        )
        assert refused.exit_code == 1
        assert "real images to compare with; 20 are the least" in " ".join(refused.output.split())
    assert [one.name for one in tmp_path.iterdir()] == ["stripes.npz"]


def test_a_run_of_other_pictures_or_of_none_is_refused(place, tmp_path):
    other = write_npz(tmp_path / "other.npz", count=60, channels=3)
    refused = command("caption", "evaluate", "--run", place / "whole", "--data", other)
    assert "was trained on stripes: give the same --data" in refused.output
    refused = command("caption", "evaluate", "--run", tmp_path, "--data", other)
    assert "give a run folder in which `caption train` has written" in refused.output
