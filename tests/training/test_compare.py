"""`compare`, by the command line: two runs, stopped and gone on with."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.training.test_resume import alive, commands
from tests.training.tiny import TINY_PRESET, command, write_npz
from training.checkpoint import FILE_NAME
from training.presets import PRESETS

BUDGET = ("--images", 24)


@pytest.fixture
def tiny(monkeypatch) -> str:
    monkeypatch.setitem(PRESETS, "tiny", TINY_PRESET)
    return "tiny"


def compare(folder: Path, presets: str, *options: object):
    data = folder / "stripes.npz"
    if not data.exists():
        write_npz(data, count=180)
    return command("compare", "--data", data, "--presets", presets, "--out", folder / "out", *options)


def test_killed_and_resumed_runs_end_as_if_never_stopped(tmp_path: Path):
    data = write_npz(tmp_path / "stripes.npz", count=180)
    options = ["--data", data, "--presets", "tiny:2", "--images", 48]
    with commands() as processes:
        processes.start("compare", *options, "--out", tmp_path / "whole")
        assert processes.wait() == 0
        out = tmp_path / "killed"
        # In the middle of the first run, then of the second.
        for run in ("tiny-0", "tiny-1"):
            pid = processes.start("compare", *options, "--out", out)
            while alive(pid) and not (out / "runs" / run / "spent.json").exists():
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            assert processes.wait() == -signal.SIGKILL
        first = out / "runs" / "tiny-0" / FILE_NAME
        finished, spent = first.stat().st_mtime_ns, seconds(out, "tiny-1")
        assert spent > 0
        processes.start("compare", *options, "--out", out)
        assert processes.wait() == 0
    assert first.stat().st_mtime_ns == finished, "what is finished is not done again"
    for run in ("tiny-0", "tiny-1"):
        want, got = ((tmp_path / x / "runs" / run / FILE_NAME).read_bytes() for x in ("whole", "killed"))
        assert got == want
    assert seconds(out, "tiny-1") > spent


def seconds(out: Path, run: str) -> float:
    return json.loads((out / "runs" / run / "spent.json").read_text())["seconds"]


def test_minutes_buy_images_by_the_measured_speed_once(tmp_path: Path, tiny: str):
    assert compare(tmp_path, tiny, "--minutes", 0.01).exit_code == 0
    plan = json.loads((tmp_path / "out" / "plans" / "tiny.json").read_text())
    assert plan["images"] == pytest.approx(0.6 * plan["images_per_second"], abs=1)
    again = compare(tmp_path, tiny, "--minutes", 0.01)
    assert "Measuring" not in again.output
    assert "Trained." in again.output
    assert json.loads((tmp_path / "out" / "plans" / "tiny.json").read_text()) == plan


def test_a_run_that_stops_itself_is_noted_and_the_rest_go_on(tmp_path: Path, tiny: str, monkeypatch):
    monkeypatch.setitem(PRESETS, "wild", PRESETS["tiny"] | {"lr_g": 1e30, "lr_d": 1e30})
    result = compare(tmp_path, "wild,tiny", *BUDGET)
    assert result.exit_code == 0, result.output
    reason = json.loads((tmp_path / "out" / "runs" / "wild-0" / "failed.json").read_text())["reason"]
    assert "NaN" in reason
    assert (tmp_path / "out" / "runs" / "tiny-0" / FILE_NAME).exists()
    assert "It stopped itself" in compare(tmp_path, "wild,tiny", *BUDGET).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ns-r1", "--images", 8, "--minutes", 1], "either --minutes or --images"),
        (["ns-r1"], "either --minutes or --images"),
        (["ns-r1,nobody", "--images", 8], "unknown preset 'nobody'"),
        (["ns-r1:none", "--images", 8], "a number of seeds"),
        (["ns-r1", "--minutes", 0], "not in the range"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments, words):
    result = compare(tmp_path, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert "Traceback" not in result.output


def test_another_budget_in_the_same_folder_is_refused(tmp_path: Path, tiny: str):
    assert compare(tmp_path, tiny, *BUDGET).exit_code == 0
    result = compare(tmp_path, tiny, "--images", 28)
    assert result.exit_code == 1
    assert "budget ({'images': 24}, now {'images': 28})" in result.output
