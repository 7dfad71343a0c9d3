"""A run under way: what it was given, how far it is, and where it says how it goes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from training.data.dataset import Dataset, real_batches
from training.device import choose_precision
from training.gan.state import State
from training.gan.step import Figures, Trainer
from training.processes import share_batch_norms
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


class Run:
    """dataset: as the networks see it, of one class where they are not told. console: where the display is drawn.

    `display.bar` and `board` are to be entered.
    """

    def __init__(
        self, settings: Settings, options: Options, dataset: Dataset, state: State, console: Console
    ) -> None:
        self.settings, self.options, self.dataset = settings, options, dataset
        self.go_on_from(state)
        self.diversity = Diversity(dataset, min(dataset.spec.classes, MAX_ROWS), seeds_a_class(dataset.spec))
        self.display = Display(console, settings.images, state.images_seen, time.monotonic())
        self.board = Board(options.folder, state.images_seen, options.tensorboard)

    def go_on_from(self, state: State) -> None:
        """With the draws and learning rates of so many rollbacks, and no figures read yet."""
        now, device = settings_now(self.settings, state.rollbacks), state.balance.device
        autocast, _ = choose_precision(now.precision, device)
        for network in (state.G, state.D):
            share_batch_norms(network)
        batches = real_batches(self.dataset, now.seed, now.batch, device)
        self.state, self.watch = state, Watch(self.settings)
        self.trainer = Trainer(now, self.dataset.spec.classes, device, batches, autocast)
        self.updates: list[Figures] = []

    @property
    def finished(self) -> bool:
        return self.state.images_seen >= self.settings.images

    @property
    def header(self) -> Header:
        spec, seen, data = self.dataset.spec, self.state.images_seen, self.dataset.fingerprint
        return Header(self.settings, spec, seen, data, self.state.origin)

    def crossed(self, every: int, before: int) -> bool:
        """Whether a multiple of `every` images lies in (before, images seen]."""
        return before // every != self.state.images_seen // every


def take_means(updates: list[Figures]) -> dict[str, float]:
    """Over these updates, which are taken off the list; a figure that some lack is averaged over those that have it."""
    names = dict.fromkeys(name for figures in updates for name in figures)
    columns = {name: [figures[name] for figures in updates if name in figures] for name in names}
    updates.clear()
    return {name: float(torch.stack(values).mean()) for name, values in columns.items()}
