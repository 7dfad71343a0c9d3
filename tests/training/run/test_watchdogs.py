"""Each way to fail, made to happen in a real run; and what rollback makes of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.tiny import command, write_npz
from training.commands.train import parsed
from training.gan import step
from training.gan.state import State
from training.presets import PRESETS, settings_of
from training.run import alarms, loop
from training.run.checkpoint import FILE_NAME, read
from training.run.rollback import MOST_ROLLBACKS, settings_now
from training.run.watchdogs import COLLAPSE, WATCHDOGS, Watch, remedy
from training.settings import Settings

SOUND = {"loss/D": 1.2, "loss/G": 0.8, "D(x)": 0.55, "D(G(z))": 0.45, "gradient/D": 2.0, "gradient/G": 1.0}
MLP = ("--batch", 4, "--set", "width=16", "--set", "z_dim=8", "--set", "optimiser=adam", "--threads", 1)


def test_a_discriminator_that_learns_too_fast_saturates_and_takes_the_minimax_gradient_away(
    tmp_path: Path,
) -> None:
    slow_generator = ("--set", "lr_g=1e-5", "--set", "lr_d=2e-3")
    result = train(tmp_path, "gan-minimax", 720, *slow_generator)

    assert result.exit_code == 0, result.output
    assert result.output.count("Warning: vanishing gradient:") == 1
    assert "the loss whose gradient stays (--set loss=non_saturating)" in result.output
    assert result.output.count("Warning: saturated discriminator:") == 1
    assert "a slower discriminator (--set lr_d=0.0005)" in result.output
    assert re.search(r"720/720 images .* ! saturated discriminator  ! vanishing gradient", result.output)
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    values = [event.value for event in curves.Scalars("watchdog/vanishing gradient")]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0, 1)
    assert "watchdog/vanishing gradient/text_summary" in curves.Tags()["tensors"]


def test_a_critic_without_lipschitz_bound_diverges(tmp_path: Path) -> None:
    result = train(
        tmp_path, "gan", 320, "--set", "loss=wasserstein", "--set", "lr_d=0.05", "--no-tensorboard"
    )

    assert result.exit_code == 0, result.output
    assert result.output.count("Warning: divergence:") == 1
    assert "--set gp_weight=10" in result.output


def test_collapse_warns_first_and_is_only_a_warning_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collapse_from(monkeypatch, 0)
    asked = ("--samples-every", 40, "--no-tensorboard")
    result = train(tmp_path, "gan", 160, *asked, "--on-collapse", "warn")
    assert result.exit_code == 0, result.output
    assert result.output.count("Warning: mode collapse:") == 1

    stopped = train(tmp_path / "again", "gan", 160, *asked)
    assert stopped.exit_code == 1
    assert "Error: Mode collapse: after 120 images" in stopped.output
    assert "Try a larger R1 strength" in stopped.output


def test_rollback_goes_on_from_before_the_fall_with_half_the_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sound at 40 and 80 images, fallen at 120 and 160; after the rollback sound for good.
    collapse_from(monkeypatch, 100, until_rollback=True)
    asked = ("--samples-every", 40, "--on-collapse", "rollback", "--no-tensorboard")
    result = train(tmp_path, "gan", 240, *asked)

    assert result.exit_code == 0, result.output
    assert "Mode collapse: after 160 images" in result.output
    assert "Going back to 80 images, with other draws and half the learning rates (rollback 1 of 3)." in (
        result.output
    )
    assert "Done: 240 images" in result.output
    header, tensors = read(tmp_path / "run" / FILE_NAME)
    assert (header.images_seen, int(tensors["rollbacks"])) == (240, 1)
    assert header.settings.lr_g == 1e-3

    # Stopped between the low looks, and again after the rollback, it ends in the same bits.
    for images in (120, 160, 240):
        train(tmp_path / "pieces", "gan", images, *asked)
    again = read(tmp_path / "pieces" / "run" / FILE_NAME)[1]
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)


def test_nan_is_rolled_back_so_often_and_then_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "r1_gamma", lambda *_: float("inf"))
    result = train(tmp_path, "gan", 160, "--on-collapse", "rollback", "--no-tensorboard")

    assert result.exit_code == 1
    assert result.output.count("Going back to 0 images") == MOST_ROLLBACKS
    assert "Error: Divergence:" in result.output
    assert "went back 3 times" in result.output
    _, tensors = read(tmp_path / "run" / FILE_NAME)
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_draws_after_a_rollback_are_others_and_always_the_same() -> None:
    settings = settings_of("dcgan")
    seeds = [settings_now(settings, rollbacks).seed for rollbacks in range(4)]
    assert len(set(seeds)) == 4
    assert seeds == [settings_now(settings, rollbacks).seed for rollbacks in range(4)]
    assert settings_now(settings, 0) == settings
    assert settings_now(settings, 2).lr_d == settings.lr_d / 4


@pytest.mark.parametrize(
    ("name", "loss", "figures"),
    [
        ("vanishing gradient", "minimax", {"gradient/G": 1e-4, "loss/D": 0.1}),
        ("vanishing gradient", "wasserstein", {"gradient/G": 1e-4}),
        ("saturated discriminator", "non_saturating", {"loss/D": 0.01}),
        ("saturated discriminator", "least_squares", {"loss/D": 0.005}),
        ("saturated discriminator", "hinge", {"loss/D": 0.01}),
        ("saturated discriminator", "relativistic", {"loss/D": 0.01}),
        ("saturated discriminator", "began", {"D(x)": 0.1, "D(G(z))": 0.3}),
        ("divergence", "hinge", {"loss/G": -500.0}),
        ("divergence", "wasserstein", {"gradient/D": 1e5}),
    ],
)
def test_a_sign_must_last_and_is_told_once_an_episode(
    name: str, loss: str, figures: dict[str, float]
) -> None:
    settings = Settings(loss=loss, batch=10, d_steps=2)
    patience = 20 * next(dog.patience for dog in WATCHDOGS if dog.name == name)
    watch = Watch(settings)
    assert watch.read(SOUND | figures, 0) == {}
    assert watch.read(SOUND | figures, patience - 1) == {}
    assert set(watch.read(SOUND | figures, patience)) == {name}
    assert watch.scalars()[f"watchdog/{name}"] == 1
    assert watch.read(SOUND | figures, 2 * patience) == {}
    # A sound reading in between begins anew.
    assert watch.read(SOUND, 2 * patience + 1) == {}
    assert watch.warned == set()
    assert watch.read(SOUND | figures, 3 * patience) == {}
    assert set(watch.read(SOUND | figures, 4 * patience)) == {name}


@pytest.mark.parametrize(
    ("loss", "figures"),
    [
        # Its gradient is small where nobody has learnt yet, and where both are done.
        ("minimax", {"gradient/G": 1e-5, "loss/D": 1.386}),
        # A critic's loss is a distance, and G's has a constant of its own.
        ("wasserstein", {"loss/D": -40.0, "loss/G": 900.0}),
        ("wasserstein", {"loss/D": 0.001}),
    ],
)
def test_what_looks_alike_is_no_sign(loss: str, figures: dict[str, float]) -> None:
    watch = Watch(Settings(loss=loss))
    assert not watch.read(SOUND | figures, 0) | watch.read(SOUND | figures, 10**7)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_remedy_is_of_settings_that_the_preset_may_have(preset: str) -> None:
    settings = settings_of(preset)
    for remedies in (COLLAPSE, *(dog.remedies for dog in WATCHDOGS)):
        for words in remedies:
            changes = tuple(
                re.findall(r"--set ([^\s)]+)", words if isinstance(words, str) else words(settings))
            )
            assert settings_of(preset, **parsed(changes)) != settings or not changes
        assert remedy(remedies, settings).startswith("Try ")


def collapse_from(monkeypatch: pytest.MonkeyPatch, images: int, until_rollback: bool = False) -> None:
    """Looks after so many images see one picture per class; `until_rollback`, only before the first."""
    measure, train_step = alarms.Diversity.of, loop.train_step
    sound = [True]

    def watched(trainer: step.Trainer, state: State) -> step.Figures:
        figures = train_step(trainer, state)
        sound[0] = state.images_seen <= images or (until_rollback and state.rollbacks > 0)
        return figures

    def of(self: alarms.Diversity, rows: NDArray[np.uint8]) -> float:
        return 1.0 if sound[0] else measure(self, np.repeat(rows[:, :1], rows.shape[1], axis=1))

    monkeypatch.setattr(loop, "train_step", watched)
    monkeypatch.setattr(alarms.Diversity, "of", of)
    monkeypatch.setattr(alarms, "EARLY_UPDATES", 10)


def train(tmp_path: Path, preset: str, images: int, *more: object) -> Result:
    tmp_path.mkdir(exist_ok=True)
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    rates = ("--set", "lr_g=1e-3", "--set", "lr_d=1e-3")
    # Of a setting given twice the last counts.
    return command(
        "train", "--data", data, "--run", run, "--preset", preset, *MLP, *rates, "--images", images, *more
    )
