"""`ganserve generate` where it can't go on, or not yet: one line, and what is there stays good."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from tests.generating.written import run
from tests.generators.translators import Inverter
from tests.system.serving import ROOT


@pytest.mark.parametrize("out", ["set.tar", "set.npz", "hub/train.parquet"])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(models, tmp_path, out):
    words = ("--model", models / "tiny", "--n", 200, "--shard-images", 100, "--out", tmp_path / out)
    # No file may be larger than a shard is: what a disk says that is full but for EFBIG in the place of ENOSPC.
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); "
    limited += "from ganserve.generating.command import generate; generate(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"GANSERVE_ENGINE": "onnxruntime"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, f"Error: {tmp_path / out}: File too large.\n")
    assert not list(tmp_path.rglob(".*.part")), "nothing half is left"
    facts = json.loads(run(*words, "--json").output)
    assert facts["images"] == 200
    run("--verify", (tmp_path / out).parent, "--model", models / "tiny")


def test_one_process_at_a_time_makes_a_set(models, tmp_path):
    words = ("--model", models / "tiny", "--n", 20, "--out", tmp_path / "set.npz")
    with (tmp_path / "set.npz.manifest.json.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process is making this set" in run(*words, code=1).output
    run(*words)


def test_a_place_that_is_none_is_one_line(models, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file", tmp_path / "file" / "set.tar", "/proc/set.tar"):
        said = run("--model", models / "tiny", "--n", 1, "--out", out, code=1).output
        assert said.startswith("Error: ")
        assert said.count("\n") == 1


def test_a_model_that_is_given_pictures_makes_no_set(tmp_path):
    folder = tmp_path / "inverter"
    folder.mkdir()
    (folder / "generator.onnx").write_bytes(Inverter().file())
    said = run("--model", folder, "--n", 1, "--out", tmp_path / "set", code=1).output
    assert said.count("\n") == 1
    assert "picture" in said
