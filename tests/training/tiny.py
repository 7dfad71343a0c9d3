"""Small data sets on disk, and training runs of a second or two."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from training.__main__ import main
from training.presets import PRESETS

# Settings that make an update take some ten milliseconds.
TINY = ("--batch", "4", "--set", "width=8", "--set", "z_dim=8", "--set", "label_dim=4", "--threads", "1")
# The same of the networks that TINY's settings do not fit, and how long.
SHORT_RUN = ("--images", 64, "--batch", 8, "--set", "width=8", "--set", "z_dim=6", "--threads", 1, "--no-tensorboard")  # fmt: skip
# A row of presets.py, which is soon trained, and soon exported.
TINY_PRESET = PRESETS["dcgan"] | {"width": 8, "z_dim": 8, "batch": 4}


def command(*arguments: object) -> Result:
    """`python -m training ...` in this process: its exit code and what it printed."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_ends_in_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, room: Any, train: Callable[[str], Result], whole: Path, stopped: Path
) -> None:
    """A run of a command with checkpoints every 8 images, which dies in its eighth update, goes on to those of a whole run.

    room: the module of its train_step. train: by the name of the run's folder.
    """
    steps, step = [], room.train_step

    def interrupted(*arguments: Any) -> Any:
        if len(steps) == 7:
            raise KeyboardInterrupt
        steps.append(1)
        return step(*arguments)

    monkeypatch.setattr(room, "train_step", interrupted)
    assert train(stopped.name).exit_code != 0
    monkeypatch.undo()
    assert room.open_run(stopped).header.images_seen == 24
    assert train(stopped.name).exit_code == 0
    ends, after = (load_file(run / room.Header.file_name) for run in (whole, stopped))
    assert ends.keys() == after.keys()
    for key, value in ends.items():
        np.testing.assert_array_equal(after[key], value, err_msg=key)


def stripes(
    count: int, size: int, channels: int, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 [count, H, W, C] whose stripes are as wide as their class says, and labels uint8 [count]."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.uint8) % classes
    rows = np.arange(size)[None, :, None, None] // (labels[:, None, None, None] + 1) % 2 * 180
    noise = rng.integers(0, 70, (count, size, size, channels))
    return (rows + noise).astype(np.uint8), labels


def write_npz(path: Path, count: int = 60, size: int = 28, channels: int = 1, classes: int = 3) -> Path:
    images, labels = stripes(count, size, channels, classes)
    np.savez(path, images=images, labels=labels)
    return path


def write_folder(path: Path, count: int = 24, size: int = 28, channels: int = 1) -> Path:
    """Subfolders narrow, middle and wide, with PNG files."""
    images, labels = stripes(count, size, channels, 3)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = path / ("narrow", "middle", "wide")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0] if channels == 1 else image).save(folder / f"{index:03}.png")
    return path


def write_idx(path: Path, count: int = 30) -> Path:
    """The four .gz files, as MNIST has them."""
    path.mkdir(parents=True, exist_ok=True)
    images, labels = stripes(count, 28, 1, 3)
    for part, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        for split in ("train", "t10k"):
            (path / f"{split}-{part}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return path


def write_run(folder: Path, count: int) -> Path:
    """stripes.npz of so many images, whose path it returns, and a run of them."""
    data = write_npz(folder / "stripes.npz", count=count)
    trained = command(
        "train", "--data", data, "--run", folder / "run", "--images", 64, "--no-tensorboard", *TINY
    )
    assert trained.exit_code == 0, trained.output
    return data
