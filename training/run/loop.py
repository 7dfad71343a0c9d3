"""The spine of training: from an empty folder, or a checkpoint, to the last image."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from service.generator.images import png
from training.data.dataset import Dataset, real_batches
from training.data.label_check import one_of_each, show
from training.device import choose_device, choose_precision
from training.errors import UserError
from training.files import write_atomically
from training.gan.state import State, new_state
from training.gan.step import Trainer, train_step
from training.run.alarms import (
    LOW_DIVERSITY,
    Diversity,
    TrainingFailed,
    check_finite,
    check_weights,
    collapse,
    low_diversity,
)
from training.run.board import Board
from training.run.checkpoint import FILE_NAME, Header, read, restore, save_state
from training.run.guard import only_run_in, stop_signals
from training.run.progress import Display
from training.run.rollback import MOST_ROLLBACKS, SOUND_FILE, keep_sound, roll_back, settings_now
from training.run.samples import MAX_ROWS, class_grid, class_rows, seeds_a_class, settled
from training.run.watchdogs import Watch
from training.settings import Settings

# Reading figures waits for an accelerator to finish; on a CPU it costs nothing.
FIGURES_EVERY_UPDATES = 16


@dataclass(frozen=True)
class Run:
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
        measure = Diversity(dataset, min(dataset.spec.classes, MAX_ROWS), seeds_a_class(dataset.spec))
        trainer = trainer_of(settings, state, dataset, device, autocast)
        watch, means = Watch(settings), Means()
        say(
            console,
            f"{'Going on' if resumed else 'Starting'} at {state.images_seen:,} of {settings.images:,} images "
            f"in {run.folder}: {device}, {arithmetic}, {torch.get_num_threads()} threads",
        )
        display = Display(console, settings.images, state.images_seen, time.monotonic())
        with display, Board(run.folder, state.images_seen, run.tensorboard) as board:
            while state.images_seen < settings.images:
                before = state.images_seen
                means.add(train_step(trainer, state))
                finished = state.images_seen >= settings.images
                ending = finished or bool(stopping)
                try:
                    if ending or means.updates == FIGURES_EVERY_UPDATES:
                        show_figures(means.take(), settings, state, watch, display, board)
                    fallen = (finished or crossed(run.samples_every, before, state.images_seen)) and look(
                        settings, run, dataset, state, measure, watch, display, board
                    )
                    # A rollback makes its own: a kill before it must find the run on its way to this look.
                    if (ending or crossed(run.checkpoint_every, before, state.images_seen)) and not (
                        fallen and run.on_collapse == "rollback"
                    ):
                        check_weights(state, settings)
                        save_state(run.folder, header_of(settings, dataset, state), state)
                        run.on_checkpoint(state.images_seen)
                    if fallen:
                        raise TrainingFailed(fallen)
                except TrainingFailed as failure:
                    if run.on_collapse != "rollback":
                        raise
                    state = roll_back(run.folder, settings, dataset, state, failure)
                    trainer = trainer_of(settings, state, dataset, device, autocast)
                    watch, means = Watch(settings), Means()
                    say(console, f"{failure}\n{went_back(state)}")
                    display.go_back(state.images_seen, time.monotonic())
                    board.open(state.images_seen)
                    board.add_text("rollback", f"{failure}\n\n{went_back(state)}", state.images_seen)
                    continue
                if stopping:
                    raise Interrupted
        say(
            console,
            f"Done: {state.images_seen:,} images. The generator is in {run.folder / FILE_NAME}, "
            f"pictures of it in {run.folder / 'samples'}",
        )


def trainer_of(
    settings: Settings,
    state: State,
    dataset: Dataset,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager],
) -> Trainer:
    now = settings_now(settings, state.rollbacks)
    batches = real_batches(dataset, now.seed, now.batch, device)
    return Trainer(now, dataset.spec.classes, device, batches, autocast)


def header_of(settings: Settings, dataset: Dataset, state: State) -> Header:
    return Header(settings, dataset.spec, state.images_seen, dataset.fingerprint)


def begin(settings: Settings, run: Run, dataset: Dataset, device: torch.device) -> tuple[State, bool]:
    """The state to go on from, and whether it came from a checkpoint. Raises UserError."""
    file = run.folder / FILE_NAME
    if not file.exists():
        # Of an earlier run, or of this one killed before its first checkpoint.
        (run.folder / SOUND_FILE).unlink(missing_ok=True)
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


def show_figures(
    figures: dict[str, float], settings: Settings, state: State, watch: Watch, display: Display, board: Board
) -> None:
    """Figures and what they warn of, for the person at the terminal and for TensorBoard. Raises TrainingFailed at NaN."""
    check_finite(figures, state.images_seen, settings)
    for name, words in watch.read(figures, state.images_seen).items():
        warn(name, words, state, display, board)
    display.show(figures, state.images_seen, time.monotonic(), watch.warned)
    board.add_scalars(figures | {"images/s": display.images_per_second} | watch.scalars(), state.images_seen)


def look(
    settings: Settings,
    run: Run,
    dataset: Dataset,
    state: State,
    measure: Diversity,
    watch: Watch,
    display: Display,
    board: Board,
) -> str:
    """Draw the fixed addresses with the average. Returns what to say where they have become one picture, or ""."""
    rows = class_rows(settled(state.average, settings, dataset.spec), settings, dataset.spec)
    picture = class_grid(rows)
    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{state.images_seen:09}.png", png(picture))
    diversity = measure.of(rows)
    low = low_diversity(diversity, state.images_seen, settings)
    # One low look may be chance, so that the first only warns.
    second, state.low_look = low and state.low_look, low
    words = collapse(diversity, state.images_seen, settings) if low else ""
    if watch.set("mode collapse", low):
        warn("mode collapse", words.removeprefix("Mode collapse: "), state, display, board)
    board.add_image("samples", picture, state.images_seen)
    board.add_scalars({"diversity": diversity} | watch.scalars(), state.images_seen)
    if run.on_collapse == "rollback" and diversity >= LOW_DIVERSITY:
        keep_sound(run.folder, header_of(settings, dataset, state), state)
    return words if second and run.on_collapse != "warn" else ""


def warn(name: str, words: str, state: State, display: Display, board: Board) -> None:
    display.warn(name, words)
    board.add_text(f"watchdog/{name}", words, state.images_seen)


def went_back(state: State) -> str:
    return (
        f"Going back to {state.images_seen:,} images, with other draws and half the learning rates "
        f"(rollback {state.rollbacks} of {MOST_ROLLBACKS})."
    )


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
