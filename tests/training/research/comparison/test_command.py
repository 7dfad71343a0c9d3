"""`compare`, by the command line: trained, measured, stopped and gone on with."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from service.generator.contract import parse
from service.generator.loading import FILE
from tests.training.run.test_resume import alive, commands
from tests.training.tiny import TINY_PRESET, command, write_npz
from training.presets import PRESETS
from training.research.comparison import budget, measure
from training.research.comparison import command as compare_module
from training.run.checkpoint import FILE_NAME

BUDGET = ("--images", 24)
SHORT = ("--judge", "plain", "--judge", "mixer", "--judge-images", 200, "--evaluate-images", 24)


@pytest.fixture
def tiny(monkeypatch) -> str:
    monkeypatch.setitem(PRESETS, "tiny", TINY_PRESET)
    monkeypatch.setattr(measure, "SAMPLING_SECONDS", 0.01)
    # After so few updates pictures may well be all alike: one look is no alarm.
    monkeypatch.setattr(compare_module, "LOOKS", 1)
    return "tiny"


@pytest.fixture
def unmeasured(monkeypatch) -> None:
    """For tests of what comes before the export, which takes seconds."""
    monkeypatch.setattr(compare_module, "measure_one", lambda *arguments: None)


def compare(folder: Path, presets: str, *options: object):
    data = folder / "stripes.npz"
    if not data.exists():
        write_npz(data, count=180)
    places = ("--out", folder / "out", "--cache", folder / "judges")
    return command("compare", "--data", data, "--presets", presets, *places, *SHORT, *options)


def test_stopped_and_killed_runs_end_as_if_trained_alone_and_never_stopped(tmp_path: Path, tiny: str):
    data, out = write_npz(tmp_path / "stripes.npz", count=180), tmp_path / "out"
    options = ["--data", data, "--presets", "tiny:2", "--images", 32, "--out", out]
    first, second = (out / "runs" / f"tiny-{seed}" for seed in (0, 1))

    def spent(run: Path) -> float:
        file = run / "spent.json"
        return json.loads(file.read_text())["images_seen"] if file.exists() else 0

    with commands() as processes:

        def end_when(condition: Callable[[], bool], number: int) -> int:
            pid = processes.start("compare", *options, "--cache", tmp_path / "judges", *SHORT)
            while not condition():
                assert alive(pid), "it ended before it could be stopped"
                time.sleep(0.005)
            os.kill(pid, number)
            return processes.wait()

        # Ctrl-C while the first trains; killed while the second does.
        assert end_when(lambda: spent(first) > 0, signal.SIGINT) == 130
        result = out / "results" / "tiny-0.json"
        assert not result.exists()
        assert end_when(lambda: spent(second) > 0, signal.SIGKILL) == -signal.SIGKILL
        done = [file.stat().st_mtime_ns for file in (first / FILE_NAME, result)]
    finished = command("compare", *options, "--cache", tmp_path / "judges", *SHORT)
    assert finished.exit_code == 0, finished.output
    assert [file.stat().st_mtime_ns for file in (first / FILE_NAME, result)] == done, "nothing is done twice"

    for seed, run in enumerate((first, second)):
        alone = tmp_path / f"alone-{seed}"
        trained = command("train", "--data", data, "--preset", "tiny", "--images", 32, "--seed", seed,
                          "--run", alone, "--threads", 1, "--no-tensorboard")  # fmt: skip
        assert trained.exit_code == 0, trained.output
        assert (run / FILE_NAME).read_bytes() == (alone / FILE_NAME).read_bytes()
    runs = json.loads((out / "table.json").read_text())["runs"]
    assert [(run["preset"], run["seed"], run["images"]) for run in runs] == [("tiny", 0, 32), ("tiny", 1, 32)]
    assert all(run["seconds"] > 0 for run in runs)
    assert "| `tiny`, 2 seeds |" in (out / "table.md").read_text()


def test_systems_with_and_without_classes_stand_side_by_side(tmp_path: Path, tiny: str, monkeypatch):
    blind = "tiny+conditional=false"
    result = compare(tmp_path, f"tiny,{blind}", *BUDGET)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    runs = {run["preset"]: run for run in json.loads((out / "table.json").read_text())["runs"]}
    assert runs["tiny"]["figures"].keys() - runs[blind]["figures"].keys() == {
        "class_accuracy", "intra_class_frechet_distance", "in_class_diversity", "in_class_similarity",
        "least_class_diversity", "usefulness",
    }  # fmt: skip
    for folder, run in zip(("tiny", "tiny-conditional-false"), (runs["tiny"], runs[blind]), strict=True):
        contract = parse((out / "models" / folder / FILE).read_bytes())
        assert run["multiply_adds"] == contract.training["multiply_adds"] > 0
        assert contract.quality["verdicts"][0]["figures"].items() <= run["figures"].items()
        assert run["sampling_images_per_second"] > 0
        assert (out / "models" / folder / "README.md").exists()
    assert runs[blind]["figures"]["precision"]["floor"] == runs["tiny"]["figures"]["precision"]["floor"]
    table = (out / "table.md").read_text()
    (row,) = [
        line for line in table.splitlines() if line.startswith(f"| `{blind}` |") and line.count("|") == 12
    ]
    assert row.split("|")[4].strip() == "-"
    assert f"-: `{blind}` is not told the class" in table
    with Image.open(out / "samples.png") as samples, Image.open(out / "nearest.png") as nearest:
        # Two systems under the real images; under each row of the second its neighbours.
        assert nearest.height > 1.9 * samples.height
        assert samples.width == nearest.width

    results = [out / "results" / f"{name}-0.json" for name in ("tiny", blind)]
    before = [file.stat().st_mtime_ns for file in results]
    assert "Measuring" not in compare(tmp_path, f"tiny,{blind}", *BUDGET).output
    assert [file.stat().st_mtime_ns for file in results] == before, "nothing is measured twice"
    asked = []
    monkeypatch.setattr(compare_module, "reference", lambda *arguments: None)
    monkeypatch.setattr(
        compare_module, "measure", lambda *arguments: asked.append(arguments[3]) or runs["tiny"]
    )
    assert compare(tmp_path, "tiny", *BUDGET, "--evaluate-images", 20).exit_code == 0
    assert asked == [20], "another measure is another result"


def test_minutes_buy_images_by_the_measured_speed_once(tmp_path: Path, tiny: str, unmeasured, monkeypatch):
    monkeypatch.setattr(budget, "LEAST_SECONDS", 0.2)
    assert compare(tmp_path, tiny, "--minutes", 0.01).exit_code == 0
    plan = json.loads((tmp_path / "out" / "plans" / "tiny.json").read_text())
    assert plan["images"] == pytest.approx(0.6 * plan["images_per_second"], abs=1)
    again = compare(tmp_path, tiny, "--minutes", 0.01)
    assert "Measuring" not in again.output
    assert "Trained." in again.output
    assert json.loads((tmp_path / "out" / "plans" / "tiny.json").read_text()) == plan


def test_a_run_that_stops_itself_is_said_in_the_table_and_the_rest_go_on(
    tmp_path: Path, tiny: str, monkeypatch
):
    monkeypatch.setitem(PRESETS, "wild", TINY_PRESET | {"lr_g": 1e30, "lr_d": 1e30})
    monkeypatch.setattr(
        compare_module, "measure", lambda *arguments: pytest.fail("there is nothing to measure")
    )
    monkeypatch.setattr(compare_module, "reference", lambda *arguments: None)
    monkeypatch.setattr(compare_module, "FILE_NAME", "none")
    result = compare(tmp_path, "wild,tiny", *BUDGET)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "runs" / "tiny-0" / FILE_NAME).exists()
    table = (tmp_path / "out" / "table.md").read_text()
    assert "- `wild`, seed 0, stopped itself: " in table
    assert "became NaN or infinite" in table
    assert "It stopped itself" in compare(tmp_path, "wild,tiny", *BUDGET).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ns-r1", "--images", 8, "--minutes", 1], "either --minutes or --images"),
        (["ns-r1"], "either --minutes or --images"),
        (["ns-r1,nobody", "--images", 8], "unknown preset 'nobody'"),
        (["ns-r1:none", "--images", 8], "a number of seeds"),
        (["ns-r1+wide=2", "--images", 8], "no setting 'wide'"),
        (["ns-r1+width=none", "--images", 8], "'none' is no int"),
        (["ns-r1", "--minutes", 0], "not in the range"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments, words):
    result = compare(tmp_path, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert "Traceback" not in result.output


def test_another_budget_in_the_same_folder_is_refused(tmp_path: Path, tiny: str, unmeasured):
    assert compare(tmp_path, tiny, *BUDGET).exit_code == 0
    result = compare(tmp_path, tiny, "--images", 28)
    assert result.exit_code == 1
    assert "budget ({'images': 24}, now {'images': 28})" in result.output
