"""torchrun with two processes: the updates of one, the same bits after any stop, one line at any end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.training.run.in_processes import UPDATES, trained
from tests.training.tiny import TINY, command, write_npz
from training.presets import PRESETS
from training.run import loop
from training.run.checkpoint import FILE_NAME, read

TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "--",
]
QUIET = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    file = tmp_path_factory.mktemp("two") / "results.pt"
    subprocess.run([*TORCHRUN, "tests.training.run.in_processes", str(file)], env=QUIET, check=True)
    return torch.load(file)


@pytest.mark.parametrize("preset", PRESETS)
def test_two_processes_make_the_updates_of_one(
    preset: str, of_two: dict[str, dict[str, torch.Tensor]]
) -> None:
    two, one = of_two[preset], trained(preset)
    assert list(two) == list(one)
    if preset in ("ns-r1", "rpgan"):
        # A penalty differentiates D's gradient once more: it must be that of all images, too.
        assert all(two[f"{i} penalty/R1"] > 0 for i in range(UPDATES))
    for name, value in one.items():
        assert torch.allclose(two[name].double(), value.double(), rtol=1e-3, atol=1e-6), name


def test_stopped_and_killed_they_go_on_in_the_same_bits(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz")

    def words(run: str, images: int) -> list[str]:
        often = (
            "--checkpoint-every",
            8,
            "--samples-every",
            60,
            "--no-tensorboard",
            "--augment",
            "translation",
        )
        return [
            str(word)
            for word in ("train", "--data", data, "--run", tmp_path / run, *TINY, *often, "--images", images)
        ]

    def ended(run: str) -> str:
        done = subprocess.run(
            [*TORCHRUN, "training", *words(run, 120)], env=QUIET, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def broken(number: int) -> tuple[str, str]:
        """Ctrl-C to torchrun, or the end of the second process, after the next checkpoint."""
        file = tmp_path / "broken" / FILE_NAME
        before = file.stat().st_mtime_ns if file.exists() else 0
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*TORCHRUN, "training", *words("broken", 120)], env=QUIET, **pipes) as process:
            while not file.exists() or file.stat().st_mtime_ns == before:
                assert process.poll() is None
                time.sleep(0.01)
            children = psutil.Process(process.pid).children()
            second = next(one for one in children if one.environ().get("RANK") == "1")
            (process if number == signal.SIGINT else second).send_signal(number)
            out, err = process.communicate()
        assert process.returncode != 0
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children)
        return out, err

    whole = ended("whole")
    assert whole.count("Starting at 0 of 120 images") == 1
    assert "in each of 2 processes" in whole
    assert sorted(file.name for file in (tmp_path / "whole" / "samples").iterdir()) == [
        "000000060.png",
        "000000120.png",
    ]
    out, _ = broken(signal.SIGINT)
    assert out.count("The same command goes on from it.") == 1
    _, err = broken(signal.SIGKILL)
    assert err.count("another process of this run ended, and so do all") == 1
    assert read(tmp_path / "broken" / FILE_NAME)[0].images_seen < 120
    assert "Going on at" in ended("broken")
    expected = (tmp_path / "whole" / FILE_NAME).read_bytes()
    assert (tmp_path / "broken" / FILE_NAME).read_bytes() == expected

    alone = command(*words("whole", 140))
    assert "Going on at 120 of 140 images" in alone.output
    assert read(tmp_path / "whole" / FILE_NAME)[0].images_seen == 140


def test_they_roll_back_together_and_give_up_together_in_one_line(tmp_path: Path) -> None:
    data, diverging = write_npz(tmp_path / "stripes.npz"), ("--set", "lr_g=1e30", "--on-collapse", "rollback")
    words = map(str, ("train", "--data", data, "--run", tmp_path / "run", *TINY, *diverging, "--images", 64))
    done = subprocess.run([*TORCHRUN, "training", *words], env=QUIET, capture_output=True, text=True)
    assert done.returncode != 0
    assert "(rollback 3 of 3)" in done.stdout
    assert (
        done.stderr.count("The run went back 3 times, each with half the learning rates, and fell again.")
        == 1
    )


def test_a_batch_that_cannot_be_shared_out_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    monkeypatch.setattr(loop, "count", lambda: 3)
    result = command("train", "--data", data, "--run", tmp_path / "run", *TINY, "--images", 16)
    assert result.exit_code == 1
    assert result.output == "Error: --batch 4 cannot be shared out evenly among 3 processes\n"
    assert not (tmp_path / "run").exists()
