import shlex
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from training.__main__ import main
from training.export.card import train_command
from training.presets import settings_of
from training.settings import Settings


def options_of(command: str) -> dict[str, str]:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "training", "train"]
    pairs = list(zip(words[4::2], words[5::2], strict=True))
    assert len({name for name, _ in pairs if name != "--set"}) == len(
        [name for name, _ in pairs if name != "--set"]
    )
    return {name if name != "--set" else value.split("=")[0]: value for name, value in pairs}


def test_the_command_says_what_differs_from_the_preset_and_always_length_and_seed():
    settings = settings_of("ns-r1", images=5000, width=48, augment="cutout,translation")
    assert options_of(train_command(settings, "mine")) == {
        "--data": "data/mine",
        "--run": "runs/mine",
        "--preset": "ns-r1",
        "--seed": "0",
        "--images": "5000",
        "width": "width=48",
        "--augment": "cutout,translation",
    }


def test_a_preset_that_is_gone_is_said_value_by_value():
    options = options_of(train_command(Settings(preset="of yore", lr_g=0.5), "mine"))
    assert "--preset" not in options
    assert options["lr_g"] == "lr_g=0.5"


@pytest.mark.parametrize("changes", [{}, {"width": 48, "r1_gamma": 1.5, "attention": False, "batch": 16}])
def test_the_command_trains_with_the_same_settings(monkeypatch, tmp_path, changes):
    settings = settings_of("ns-r1", images=70, seed=3, **changes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mine").mkdir(parents=True)
    seen = []
    monkeypatch.setattr("training.commands.train.load", lambda *_: SimpleNamespace(class_names=("a", "b")))
    monkeypatch.setattr("training.commands.train.train", lambda given, *others: seen.append(given))
    result = CliRunner().invoke(main, shlex.split(train_command(settings, "mine"))[3:])
    assert result.exit_code == 0, result.output
    assert seen == [settings]
