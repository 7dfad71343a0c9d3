"""`translate` by its command line: trained, stopped and gone on with, measured, exported, served."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.generator import loading
from service.generator.contract import parse
from service.settings import Settings as ServiceSettings
from tests.training.tiny import assert_ends_in_the_same_bits, command, write_npz
from training.translation import run as translation
from training.translation.rules import edges
from training.translation.run import open_run

TINY = ("--batch", 4, "--width", 4, "--threads", 1)
RUNS = {
    "pix2pix": (),
    "l1": ("--l1-alone",),
    "cyclegan": ("--rule", "classes", "--from", "0", "--to", "2"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, and three runs."""
    folder = tmp_path_factory.mktemp("translate")
    write_npz(folder / "stripes.npz", count=480)
    for name in RUNS:
        done = train(folder, name, *RUNS[name], "--images", 64)
        assert done.exit_code == 0, done.output
        assert (folder / name / "samples.png").is_file()
    return folder


def train(folder: Path, name: str, *more: object):
    return command(
        "translate", "train", "--data", folder / "stripes.npz", "--run", folder / name, *TINY, *more
    )


def measured(folder: Path, what: str, *more: object, runs: tuple[str, ...] = ("pix2pix", "l1")):
    words = [word for name in runs for word in ("--run", folder / name)]
    few = ("--judge-images", 640, "--images", 30, "--threads", 1, "--cache", folder / "judges")
    return command("translate", what, *words, "--data", folder / "stripes.npz", *few, *more)


@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_ends_in_the_bits_of_one_that_never_stopped(place, name, monkeypatch):
    def again(run: str):
        return train(place, run, *RUNS[name], "--images", 64, "--checkpoint-every", 8)

    assert_ends_in_the_same_bits(monkeypatch, translation, again, place / name, place / f"{name} stopped")


def test_runs_are_measured_on_the_same_pairs(place):
    told = measured(place, "evaluate", "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["images"] == 30
    rows = found["rows"]
    assert list(rows) == ["pix2pix", "l1", "other real images"]
    assert all(row["l1"]["value"] > 0 and row["l1"]["standard_error"] > 0 for row in list(rows.values())[:2])
    assert set(rows["other real images"]) == {"sharpness", "class_accuracy", "frechet_distance"}
    assert "| pix2pix |" in measured(place, "evaluate").output


def test_without_pairs_the_way_back_and_the_class_are_measured_beside_what_learns_nothing(place):
    told = measured(place, "evaluate", "--json", runs=("cyclegan",))
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    rows = found["rows"]
    assert list(rows) == ["cyclegan", "the picture itself", "the nearest real picture", "other real images"]
    assert 20 < found["images"] < 30, "as many as the class has"
    itself, nearest = rows["the picture itself"], rows["the nearest real picture"]
    assert itself["change"]["value"] == itself["cycle"]["value"] == 0
    assert min(nearest["change"]["value"], nearest["cycle"]["value"]) > 0
    assert nearest["frechet_distance"]["value"] < itself["frechet_distance"]["value"], "it is of the class"
    assert set(rows["cyclegan"]) == {"change", "cycle", "sharpness", "frechet_distance", "class_accuracy"}


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_the_exported_file_draws_what_the_network_draws(place, name):
    model = place / "models" / name
    runs = {"pix2pix": ("pix2pix", "l1"), "cyclegan": ("cyclegan",)}[name]
    done = measured(place, "export", "--model", model, runs=runs)
    assert done.exit_code == 0, done.output
    contract = parse((model / loading.FILE).read_bytes())
    assert [(one.role, one.shape) for one in contract.declared] == [("image", [1, 28, 28])]
    file = loading.read(model / loading.FILE)
    assert file.verified, "the card names it"
    loaded = loading.load(file, ServiceSettings(engine="onnxruntime", threads=1))
    given = np.load(place / "stripes.npz")["images"][:5, None, :, :, 0]
    given = edges(given) if name == "pix2pix" else given
    rows = given.reshape(5, -1).astype(np.float32)
    want = open_run(place / name)(given).astype(int)
    assert np.abs(loaded.engine.wide(rows, None) - want).max() <= 1
    assert {path.name for path in model.iterdir()} == {"generator.onnx", "README.md", "samples.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rule", "grey"), "these pictures are grey already"),
        (("--rule", "edges", "--lr", 0.1), "other settings: lr (0.0005, now 0.1)"),
        (("--rule", "sketch"), "'sketch' is not one of"),
        (("--rule", "classes", "--to", "1"), "--from '': no class of stripes, which has 0, 1, 2"),
        (("--rule", "classes", "--from", "1", "--to", "1"), "--from and --to are the same class"),
        (("--from", "1"), "--from and --to are of --rule classes"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(place, words, said):
    refused = train(place, "pix2pix", "--images", 64, *words)
    assert refused.exit_code != 0
    assert said in refused.output
    assert "Traceback" not in refused.output


def test_a_run_of_other_pictures_or_of_none_is_refused(place, tmp_path):
    other = write_npz(tmp_path / "other.npz", count=60, channels=3)
    refused = command("translate", "evaluate", "--run", place / "l1", "--data", other)
    assert "l1 was trained on stripes: give the same --data" in refused.output
    assert train(place, "quarter", "--rule", "quarter", "--images", 4).exit_code == 0
    runs = ("--run", place / "l1", "--run", place / "quarter")
    refused = command("translate", "evaluate", *runs, "--data", place / "stripes.npz")
    assert "the runs' rules differ, so that they were given other pictures: edges, quarter" in refused.output
    refused = command("translate", "evaluate", "--run", tmp_path, "--data", other)
    assert "give a run folder in which `translate train` has written" in refused.output
    refused = command("sample", "--run", place / "l1", "--out", tmp_path / "drawn.png")
    assert "no checkpoint" in refused.output
