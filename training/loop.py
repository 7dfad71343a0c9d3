"""The spine of training: from an empty folder, or a checkpoint, to the last image."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from service.images import png
from training.alarms import CollapseAlarm, check_finite, check_weights
from training.board import Board
from training.checkpoint import FILE_NAME, Header, read, restore, save_state
from training.dataset import Dataset, real_batches
from training.device import choose_device, choose_precision
from training.errors import UserError
from training.files import write_atomically
from training.guard import only_run_in, stop_signals
from training.label_check import one_of_each, show
from training.progress import Display
from training.samples import MAX_ROWS, class_grid, class_rows, seeds_a_class, settled
from training.settings import Settings
from training.state import State, new_state
from training.step import Trainer, train_step

FIGURES_EVERY_UPDATES = 16
# Reading figures waits for an accelerator to finish; on a CPU it costs nothing.


@dataclass(frozen=True)
class Run:
    """Where and how often a run writes; none of it changes what is learnt."""

    folder: Path
    device: str = "auto"
    # auto, cpu or cuda.
    checkpoint_every: int = 20_000
    # Images between two checkpoints: two or three minutes of a CPU core.
    samples_every: int = 50_000
    # Images between two sample grids, each with its look for mode collapse.
    tensorboard: bool = True
    # Whether scalars and grids go to TensorBoard too.
    on_checkpoint: Callable[[int], None] = lambda images_seen: None
    # Called after each checkpoint, with the images seen.


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came; a checkpoint has been written."""


def train(settings: Settings, run: Run, dataset: Dataset, console: Console) -> None:
    """Train until `settings.images`, going on from the folder's checkpoint if it has one.

    The same settings end in the same bits on one machine's CPU, however often the run was stopped.
    Raises Interrupted; UserError, of which TrainingFailed says what to try.
    """
    with only_run_in(run.folder), stop_signals() as stopping:
        device = choose_device(run.device)
        autocast, arithmetic = choose_precision(settings.precision, device)
        labelled = dataset
        dataset = dataset if settings.conditional else dataset.as_one_class()
        state, resumed = begin(settings, run, dataset, device)
        if state.images_seen >= settings.images:
            say(console, f"{run.folder} has finished: {state.images_seen:,} images. Nothing to do.")
            return
        if not resumed:
            show(labelled, console)
            write_atomically(run.folder / "classes.png", png(one_of_each(labelled)))
        batches = real_batches(dataset, settings.seed, settings.batch, device)
        trainer = Trainer(settings, dataset.spec.classes, device, batches, autocast)
        alarm = CollapseAlarm(dataset, min(dataset.spec.classes, MAX_ROWS), seeds_a_class(dataset.spec))
        say(
            console,
            f"{'Going on' if resumed else 'Starting'} at {state.images_seen:,} of {settings.images:,} images "
            f"in {run.folder}: {device}, {arithmetic}, {torch.get_num_threads()} threads",
        )
        means = Means()
        display = Display(console, settings.images, state.images_seen, time.monotonic())
        with display, Board(run.folder, state.images_seen, run.tensorboard) as board:
            while state.images_seen < settings.images:
                before = state.images_seen
                means.add(train_step(trainer, state))
                ending = state.images_seen >= settings.images or bool(stopping)

                if ending or means.updates == FIGURES_EVERY_UPDATES:
                    figures = means.take()
                    check_finite(figures, state.images_seen)
                    display.show(figures, state.images_seen, time.monotonic())
                    board.add_scalars(figures | {"images/s": display.images_per_second}, state.images_seen)
                if ending or crossed(run.checkpoint_every, before, state.images_seen):
                    check_weights(state)
                    words = Header(settings, dataset.spec, state.images_seen, dataset.fingerprint)
                    save_state(run.folder, words, state)
                    run.on_checkpoint(state.images_seen)
                if stopping:
                    raise Interrupted
                if ending or crossed(run.samples_every, before, state.images_seen):
                    look(settings, run, dataset, state, alarm, board)
        say(
            console,
            f"Done: {state.images_seen:,} images. The generator is in {run.folder / FILE_NAME}, "
            f"pictures of it in {run.folder / 'samples'}",
        )


def begin(settings: Settings, run: Run, dataset: Dataset, device: torch.device) -> tuple[State, bool]:
    """The state to go on from, and whether it came from a checkpoint. Raises UserError."""
    file = run.folder / FILE_NAME
    if not file.exists():
        return new_state(settings, dataset.spec, device), False
    header, tensors = read(file)
    # A longer or shorter run may go on from the same state; anything else would be another run.
    was, now = header.settings.to_json(), replace(settings, images=header.settings.images).to_json()
    if differing := [f"{name} ({was[name]}, now {now[name]})" for name in now if was[name] != now[name]]:
        raise UserError(
            f"{run.folder} holds a run with other settings: {', '.join(differing)}. Give another --run."
        )
    if header.spec != dataset.spec or header.data_fingerprint not in (None, dataset.fingerprint):
        raise UserError(
            f"{run.folder} holds a run on other images ({header.spec.dataset}): give the same --data, or another --run."
        )
    state = new_state(settings, dataset.spec, device)
    restore(tensors, state)
    state.images_seen = header.images_seen
    return state, True


def look(
    settings: Settings, run: Run, dataset: Dataset, state: State, alarm: CollapseAlarm, board: Board
) -> None:
    """Draw the fixed addresses with the average; raises TrainingFailed when they have become one picture."""
    rows = class_rows(settled(state.average, settings, dataset.spec), settings, dataset.spec)
    picture = class_grid(rows)
    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{state.images_seen:09}.png", png(picture))
    diversity = alarm.diversity(rows)
    board.add_image("samples", picture, state.images_seen)
    board.add_scalars({"diversity": diversity}, state.images_seen)
    alarm.check(diversity, state.images_seen / settings.images, state.images_seen)


def crossed(every: int, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return before // every != after // every


def say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


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
