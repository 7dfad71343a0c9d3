"""An equal budget for unequal systems: the time a training process computes, and the images it buys.

The time is the process's own CPU time, of all its threads, which a busy machine hardly stretches; on an
accelerator, where the CPU only waits, it is wall time. A budget in minutes is turned into images once,
before a run begins, by the preset's measured speed, because the learning rate's schedule is a function
of images: it then ends where the run ends, and the run is the same however often it was stopped.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from training.data.dataset import Dataset, real_batches
from training.device import choose_precision
from training.files import write_atomically
from training.gan.networks import fitted
from training.gan.state import new_state
from training.gan.step import Trainer, train_step
from training.settings import Settings

# Every preset is measured so often, in alternation, so that a busy minute of the machine falls on all.
ROUNDS = 3
# Measuring a preset takes this share of its budget, within these bounds; it is not counted into it.
SHARE = 0.05
LEAST_SECONDS, MOST_SECONDS = 1.0, 30.0
WARM_UP_UPDATES = 2


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds: of this process's CPU time; on an accelerator of wall time."""
    return time.process_time if device.type == "cpu" else time.monotonic


def unit(device: torch.device) -> str:
    """What `clock` counts, in words."""
    return "CPU time of the training process" if device.type == "cpu" else "wall time on the accelerator"


class Speed:
    """A preset's training, run for nothing but its speed."""

    def __init__(self, settings: Settings, dataset: Dataset, device: torch.device) -> None:
        autocast, _ = choose_precision(settings.precision, device)
        dataset = dataset if settings.conditional else dataset.as_one_class()
        settings = fitted(settings, dataset.spec)
        batches = real_batches(dataset, settings.seed, settings.batch, device)
        # So long that the learning rate never falls.
        endless = replace(settings, images=10**12)
        self.trainer = Trainer(endless, dataset.spec.classes, device, batches, autocast)
        self.state = new_state(endless, dataset.spec, device)
        self.clock = clock(device)
        self.images, self.seconds = 0, 0.0
        self.measure(0, WARM_UP_UPDATES)
        self.images, self.seconds = 0, 0.0

    def measure(self, seconds: float, updates: int = 1) -> None:
        """Train on for so long, and for so many updates at least."""
        began, before = self.clock(), self.state.images_seen
        while updates > 0 or self.clock() - began < seconds:
            figures = train_step(self.trainer, self.state)
            # An accelerator is asked for a figure, so that the update is over when the clock is read.
            _ = [float(value) for value in figures.values()]
            updates -= 1
        self.seconds += self.clock() - began
        self.images += self.state.images_seen - before

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


def images_per_second(
    presets: dict[str, Settings], dataset: Dataset, device: torch.device, budget_seconds: float
) -> dict[str, float]:
    """How fast each preset trains here, real images per second of `clock`."""
    speeds = {name: Speed(settings, dataset, device) for name, settings in presets.items()}
    seconds = min(max(SHARE * budget_seconds, LEAST_SECONDS), MOST_SECONDS) / ROUNDS
    for _ in range(ROUNDS):
        for speed in speeds.values():
            speed.measure(seconds)
    return {name: speed.images_per_second for name, speed in speeds.items()}


class Spent:
    """Seconds a run has computed, kept beside its checkpoint, so that they outlive a stop.

    `note` goes with every checkpoint: what a killed process computed after its last one is lost with
    the images it computed it for.
    """

    FILE = "spent.json"

    def __init__(self, run: Path, device: torch.device) -> None:
        self.file, self.clock = run / self.FILE, clock(device)
        self.before = self.read(run)[1]
        self.began = self.clock()

    def note(self, images_seen: int) -> None:
        seconds = self.before + self.clock() - self.began
        write_atomically(
            self.file, json.dumps({"images_seen": images_seen, "seconds": round(seconds, 3)}).encode()
        )

    @classmethod
    def read(cls, run: Path) -> tuple[int, float]:
        """Images and seconds at the last checkpoint."""
        file = run / cls.FILE
        if not file.exists():
            return 0, 0.0
        words = json.loads(file.read_text())
        return words["images_seen"], words["seconds"]
