"""The programs that are no `make` target: each says what it takes, and does it."""

import re
import subprocess
import sys

import pytest

from tests.generators import Tiny, folder
from tests.system.serving import ROOT


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "name",
    [
        "hot_path",
        "paired",
        "many_models",
        "image",
        "faults",
        "bulk",
        "cluster",
        "stream",
        "watch",
        "inversion",
    ],
)
def test_it_says_what_it_takes(name):
    done = run(f"benchmarks.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: python -m benchmarks.{name} [OPTIONS]")


@pytest.mark.parametrize("name", ["hot_path", "paired"])
def test_without_arguments_it_says_which_are_missing(name):
    done = run(f"benchmarks.{name}")
    assert done.returncode == 2
    assert "Missing argument" in done.stderr


def test_hot_path_has_a_cost_for_each_number_at_once(tmp_path):
    models = folder(tmp_path, {"fashion-mnist": Tiny().file()})
    done = run("benchmarks.hot_path", models, "--at-once", 2, "--at-once", 3)
    assert done.returncode == 0, done.stderr
    lines = re.findall(
        r"^(\d) at once: (\d+) us per request, forward pass included$", done.stdout, re.MULTILINE
    )
    assert [at_once for at_once, _ in lines] == ["2", "3"]
    assert all(int(cost) > 0 for _, cost in lines)


def test_paired_has_a_ratio_for_each_batch(tmp_path):
    models = folder(tmp_path, {"old": Tiny().file(), "new": Tiny(weights_seed=1).file()})
    done = run("benchmarks.paired", models / "old/generator.onnx", models / "new/generator.onnx")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^onnxruntime, N=(\d+): .* ratio ([\d.]+)$", done.stdout, re.MULTILINE)
    assert [batch for batch, _ in found] == ["1", "8", "16"]
    assert all(0 < float(ratio) < 50 for _, ratio in found)
