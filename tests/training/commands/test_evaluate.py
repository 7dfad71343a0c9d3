import json
from pathlib import Path

import pytest

from tests.training.tiny import TINY, command, write_npz


def test_the_command_evaluates_a_run(tmp_path: Path):
    data, run = write_npz(tmp_path / "stripes.npz", count=180), tmp_path / "run"
    trained = command("train", "--data", data, "--run", run, "--images", 8, "--no-tensorboard", *TINY)
    assert trained.exit_code == 0, trained.output
    options = ["--data", data, "--judge-images", 128, "--cache", tmp_path / "judges", "--threads", 1]
    result = command("evaluate", "--run", run, *options, "--judge", "residual", "--draws", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["images"] == 30
    assert found["origin"] == {"engine": "torch", "precision": "fp32", "images_seen": 8}
    assert found["verdicts"][0]["judge"] == {"architecture": "residual", "seed": 1, "images": 128}
    again = command(
        "evaluate", "--run", run / "checkpoint.safetensors", *options, "--judge", "residual", "--draws", 2
    )
    assert again.exit_code == 0, again.output
    assert f"{found['verdicts'][0]['figures']['frechet_distance']['value']:.4f}" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "missing"], "does not exist"),
        (["--run", "empty"], "no checkpoint"),
        (["--model", "bad.onnx"], "not an ONNX file"),
        (["--model", "empty"], "No such file"),
        (["--run", "empty", "--engine", "openvino"], "for an exported --model"),
        (["--run", "empty", "--model", "bad.onnx"], "either --run"),
        ([], "either --run"),
        (["--run", "empty", "--images", "3"], "3 is not in the range"),
        (["--run", "empty", "--judge", "wise"], "'mixer', 'residual', 'plain'"),
        (["--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "stripes.npz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    result = command("evaluate", *arguments, "--data", "stripes.npz")
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert "Traceback" not in result.output
