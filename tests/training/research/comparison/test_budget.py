import itertools

import pytest
import torch

from tests.training.pictures import squares
from training.presets import settings_of
from training.research.comparison import budget
from training.research.comparison.budget import Spent, images_per_second

CPU = torch.device("cpu")


def ticking(monkeypatch, step: float) -> None:
    """A clock that goes on by `step` seconds whenever it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(budget, "clock", lambda device: lambda: next(ticks) * step)


def test_speed_is_images_by_seconds_of_the_clock(monkeypatch):
    ticking(monkeypatch, 0.25)
    settings = settings_of("ns-r1", batch=4, width=8, z_dim=8)
    speeds = images_per_second({"ns-r1": settings}, squares(), CPU, budget_seconds=60)
    # A round of 1 s: at 0.25 s a reading it ends at its fifth, after 4 updates, and is read once more.
    assert speeds["ns-r1"] == pytest.approx(3 * 4 * 4 / (3 * 1.5), rel=0.3)


def test_the_speed_of_a_system_without_classes_is_measured_without_them(monkeypatch):
    ticking(monkeypatch, 10)
    settings = settings_of("gan", batch=4, width=8, z_dim=8)
    assert images_per_second({"gan": settings}, squares(), CPU, budget_seconds=1)["gan"] > 0


def test_seconds_spent_outlive_the_process(monkeypatch, tmp_path):
    ticking(monkeypatch, 10)
    first = Spent(tmp_path, CPU)
    first.note(500)
    first.note(1000)
    assert Spent.read(tmp_path) == (1000, 20)
    second = Spent(tmp_path, CPU)
    second.note(1500)
    assert Spent.read(tmp_path) == (1500, 30)


def test_a_new_run_has_spent_nothing(tmp_path):
    assert Spent.read(tmp_path) == (0, 0.0)


def test_time_in_which_the_process_does_not_compute_costs_nothing():
    pause = torch.multiprocessing.get_context("fork").Event()
    clock = budget.clock(CPU)
    began = clock()
    pause.wait(0.3)
    assert clock() - began < 0.1
