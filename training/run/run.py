"""A run under way: what it was given, how far it is, and where it says how it goes."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from training.data.dataset import Dataset, real_batches
from training.gan.state import State
from training.gan.step import Autocast, Trainer
from training.run.alarms import Diversity
from training.run.board import Board
from training.run.checkpoint import Header
from training.run.progress import Display
from training.run.rollback import settings_now
from training.run.samples import MAX_ROWS, seeds_a_class
from training.run.watchdogs import Watch
from training.settings import Settings


@dataclass(frozen=True)
class Options:
    """Where and how often a run writes; none of it changes what is learnt, until it falls."""

    folder: Path
    device: str = "auto"
    """auto, cpu or cuda."""
    checkpoint_every: int = 20_000
    """Images between two checkpoints: two or three minutes of a CPU core."""
    samples_every: int = 50_000
    """Images between two sample grids, each with its look for mode collapse."""
    tensorboard: bool = True
    """Whether scalars and grids go to TensorBoard too."""
    on_collapse: str = "stop"
    """At mode collapse or NaN: stop, rollback (see rollback.py), or warn, by which only NaN stops."""
    on_checkpoint: Callable[[int], None] = lambda images_seen: None
    """Called after each checkpoint, with the images seen."""


class Means:
    """Means of figures over updates; one that some updates lack is averaged over those that have it."""

    def __init__(self) -> None:
        self.updates = 0
        self.figures: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, figures: dict[str, Tensor]) -> None:
        self.updates += 1
        for name, value in figures.items():
            self.figures[name].append(value)

    def take(self) -> dict[str, float]:
        """The means as numbers, and a new beginning."""
        means = {name: float(torch.stack(values).mean()) for name, values in self.figures.items()}
        self.updates = 0
        self.figures.clear()
        return means


class Run:
    """dataset: as the networks see it, of one class where they are not told. console: where the display is drawn.

    A rollback replaces `state`, `trainer`, `watch` and `means`. `display.bar` and `board` are to be entered.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        dataset: Dataset,
        state: State,
        trainer: Trainer,
        console: Console,
    ) -> None:
        self.settings, self.options, self.dataset = settings, options, dataset
        self.state, self.trainer = state, trainer
        self.watch, self.means = Watch(settings), Means()
        self.diversity = Diversity(dataset, min(dataset.spec.classes, MAX_ROWS), seeds_a_class(dataset.spec))
        self.display = Display(console, settings.images, state.images_seen, time.monotonic())
        self.board = Board(options.folder, state.images_seen, options.tensorboard)

    @property
    def finished(self) -> bool:
        return self.state.images_seen >= self.settings.images

    @property
    def header(self) -> Header:
        return Header(self.settings, self.dataset.spec, self.state.images_seen, self.dataset.fingerprint)

    def crossed(self, every: int, before: int) -> bool:
        """Whether a multiple of `every` images lies in (before, images seen]."""
        return before // every != self.state.images_seen // every


def trainer_of(
    settings: Settings, state: State, dataset: Dataset, device: torch.device, autocast: Autocast
) -> Trainer:
    """What updates need, with the draws and learning rates of so many rollbacks."""
    now = settings_now(settings, state.rollbacks)
    batches = real_batches(dataset, now.seed, now.batch, device)
    return Trainer(now, dataset.spec.classes, device, batches, autocast)
