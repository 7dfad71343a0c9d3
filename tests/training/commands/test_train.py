"""`train` and `sample`, by the command line."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.tiny import TINY, command, write_folder, write_npz
from training.gan import step
from training.run.checkpoint import FILE_NAME, read


def test_run_leaves_checkpoint_grids_and_curves(tmp_path: Path) -> None:
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    result = command("train", "--data", data, "--run", run, *TINY, "--images", 96, "--samples-every", 48)

    assert result.exit_code == 0, result.output
    assert "Done: 96 images" in result.output
    assert "51 training images and 9 test images (a sixth of each class, held out" in result.output
    with Image.open(run / "classes.png") as picture:
        assert picture.size == (3 * 28, 28)
    header, _ = read(run / FILE_NAME)
    assert (header.images_seen, header.settings.preset, header.spec.dataset) == (96, "ns-r1", "stripes")
    grids = sorted((run / "samples").iterdir())
    assert [grid.name for grid in grids] == ["000000048.png", "000000096.png"]
    with Image.open(grids[0]) as grid:
        assert grid.size == (10 * 28, 3 * 28)
    curves = EventAccumulator(str(run / "tensorboard")).Reload()
    names = {
        "loss/D",
        "loss/G",
        "D(x)",
        "D(G(z))",
        "gradient/D",
        "gradient/G",
        "penalty/R1",
        "images/s",
        "diversity",
    }
    assert names <= set(curves.Tags()["scalars"])
    assert [event.step for event in curves.Images("samples")] == [48, 96]


@pytest.mark.parametrize(("size", "channels"), [(64, 3), (32, 1)])
def test_folder_of_own_images_trains_and_samples(tmp_path: Path, size: int, channels: int) -> None:
    data = write_folder(tmp_path / "stripes", size=size, channels=channels)
    run, picture = tmp_path / "run", tmp_path / "wide.png"
    augment = "brightness,saturation,contrast,translation,cutout"
    trained = command(
        "train", "--data", data, "--run", run, *TINY, "--images", 8, "--augment", augment, "--no-tensorboard"
    )
    sampled = command("sample", "--run", run, "--out", picture, "--label", "Wide", "--seed", 7, "--n", 4)

    assert trained.exit_code == sampled.exit_code == 0, trained.output + sampled.output
    with Image.open(picture) as grid:
        assert grid.size == (2 * size, 2 * size)
        assert grid.mode == ("RGB" if channels == 3 else "L")


def test_seed_is_an_address_in_sample(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    command("sample", "--run", run, "--out", tmp_path / "four.png", "--label", "1", "--seed", 10, "--n", 4)
    command("sample", "--run", run, "--out", tmp_path / "one.png", "--label", "1", "--seed", 13, "--n", 1)

    with Image.open(tmp_path / "four.png") as four, Image.open(tmp_path / "one.png") as one:
        last = np.asarray(four, np.int16)[28:, 28:]
        assert np.abs(last - np.asarray(one, np.int16)).max() <= 1


def test_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    before = (run / FILE_NAME).read_bytes()
    assert "Nothing to do" in train(tmp_path, 16).output
    assert (run / FILE_NAME).read_bytes() == before


def test_longer_run_goes_on_from_the_same_state(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    result = train(tmp_path, 32)
    assert "Going on at 16 of 32 images" in result.output
    assert read(run / FILE_NAME)[0].images_seen == 32


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    tiny_run(tmp_path)
    result = train(tmp_path, 16, "--set", "lr_g=0.5", "--seed", 3)
    assert result.exit_code == 1
    assert "seed (0, now 3), lr_g (0.001, now 0.5)" in result.output


def test_other_data_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    (tmp_path / "other").mkdir()
    # The same name, classes and size, but one image more.
    other = write_npz(tmp_path / "other" / "stripes.npz", count=61)
    result = command("train", "--data", other, "--run", run, *TINY)
    assert result.exit_code == 1
    assert "other images (stripes)" in result.output


def test_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    file = run / FILE_NAME
    file.write_bytes(file.read_bytes()[:1000])
    result = train(tmp_path, 16)
    assert result.exit_code == 1
    assert "cannot be read as a checkpoint" in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "widht=8"], "no setting 'widht'. There are: seed, images, batch"),
        (["--set", "width=wide"], "'wide' is no int"),
        (["--set", "r1_every=0"], "r1_every"),
        (["--augment", "rotate"], "unknown augmentation 'rotate'"),
        (["--preset", "biggan"], "unknown preset 'biggan': choose from gan-minimax, gan, cgan"),
        (["--data", "/no/such/place"], "does not exist"),
        (["--images", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_is_told_what_is_allowed(tmp_path: Path, arguments: list[str], words: str) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    result = command("train", "--data", data, "--run", tmp_path / "run", *TINY, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert not (tmp_path / "run").exists()


def test_nan_stops_with_what_to_try_and_keeps_the_sound_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path)
    real = step.r1_gamma
    monkeypatch.setattr(step, "r1_gamma", lambda *rest: real(*rest) * float("inf"))

    # R1's turn comes at 32 images, and the next look at the figures after that.
    result = train(tmp_path, 160, "--checkpoint-every", 4)

    assert result.exit_code == 1
    assert "became NaN or infinite" in result.output
    assert "Try half the learning rates" in result.output
    header, tensors = read(run / FILE_NAME)
    assert header.images_seen == 32
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    arguments = ["train", "--data", data, "--run", run, *TINY, "--images", 10**6, "--no-tensorboard"]
    program = [sys.executable, "-m", "training", *map(str, arguments)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while not process.stdout.readline().startswith("Starting at 0 of 1,000,000 images"):
            assert process.poll() is None

        second = command(*arguments)
        assert second.exit_code == 1
        assert "another process is training" in second.output

        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        last = process.stdout.read()
    assert process.returncode == 130
    assert "The same command goes on" in last
    assert read(run / FILE_NAME)[0].images_seen > 0


def test_bf16_trains_on_any_cpu(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    bf16 = ["--precision", "bf16", "--images", 16, "--no-tensorboard"]
    result = command("train", "--data", data, "--run", tmp_path / "run", *TINY, *bf16)
    assert result.exit_code == 0, result.output
    assert "bf16 autocast" in result.output


def test_cuda_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data = write_npz(tmp_path / "stripes.npz")
    result = command("train", "--data", data, "--run", tmp_path / "run", *TINY, "--device", "cuda")
    assert result.exit_code == 1
    assert "no CUDA device" in result.output


def tiny_run(tmp_path: Path) -> Path:
    write_npz(tmp_path / "stripes.npz")
    assert train(tmp_path, 16).exit_code == 0
    return tmp_path / "run"


def train(tmp_path: Path, images: int, *more: object) -> Result:
    data, run = tmp_path / "stripes.npz", tmp_path / "run"
    return command(
        "train", "--data", data, "--run", run, *TINY, "--images", images, "--no-tensorboard", *more
    )
