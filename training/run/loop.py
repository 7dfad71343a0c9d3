"""The spine of training: from an empty folder, or a checkpoint, to the last image."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from service.generator.images import grid, png
from training.data.dataset import Dataset
from training.data.label_check import one_of_each, show
from training.device import choose_device, choose_precision
from training.errors import UserError
from training.files import write_atomically
from training.gan.networks import fitted
from training.gan.state import State, new_state
from training.gan.step import Figures, train_step
from training.processes import any_of, count, from_first, rank
from training.run.alarms import LOW_DIVERSITY, TrainingFailed, check_finite, check_weights, collapse, is_low
from training.run.checkpoint import FILE_NAME, Header, go_on, save_state
from training.run.guard import only_run_in, stop_signals
from training.run.memory import check_fits
from training.run.progress import Display
from training.run.rollback import MOST_ROLLBACKS, SOUND_FILE, keep_sound, roll_back
from training.run.run import Options, Run, take_means
from training.run.samples import COLUMNS, class_rows, settled
from training.run.transfer import said, take_over
from training.run.watchdogs import DIVERGENCE, remedy
from training.settings import Settings

# Reading figures waits for an accelerator to finish; on a CPU it costs nothing.
FIGURES_EVERY_UPDATES = 16


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came; a checkpoint has been written."""


def train(settings: Settings, options: Options, dataset: Dataset, console: Console) -> None:
    """Train until `settings.images`, going on from the folder's checkpoint if it has one.

    The same settings end in the same bits on one machine's CPU, however often the run was stopped.
    Raises Interrupted; UserError, of which TrainingFailed says what to try.
    """
    folder = options.folder
    if settings.batch % count():
        raise UserError(f"--batch {settings.batch} cannot be shared out evenly among {count()} processes")
    with only_run_in(folder), stop_signals() as stopping:
        device = choose_device(options.device)
        _, arithmetic = choose_precision(settings.precision, device)
        seen = dataset if settings.conditional else dataset.as_one_class()
        settings = fitted(settings, seen.spec)
        check_fits(settings, seen.spec, device)
        state, resumed = begin(settings, folder, seen, device)
        if state.images_seen >= settings.images:
            say(console, f"{folder} has finished: {state.images_seen:,} images. Nothing to do.")
            return
        if not resumed and rank() == 0:
            show(dataset, console)
            write_atomically(folder / "classes.png", png(one_of_each(dataset)))
            if state.origin:
                say(console, said(state.origin, settings))
        say(
            console,
            f"{'Going on' if resumed else 'Starting'} at {state.images_seen:,} of {settings.images:,} images "
            f"in {folder}: {device}, {arithmetic}, {torch.get_num_threads()} threads"
            + (f" in each of {count()} processes" if count() > 1 else ""),
        )
        run = Run(settings, options, seen, state, console)
        with run.display.bar, run.board:
            while not run.finished:
                before = run.state.images_seen
                run.updates.append(train_step(run.trainer, run.state))
                stop = any_of(bool(stopping))
                last = run.finished or stop
                try:
                    if last or len(run.updates) == FIGURES_EVERY_UPDATES:
                        show_figures(run)
                    due = run.finished or run.crossed(options.samples_every, before)
                    fallen = from_first(partial(look, run)) if due else ""
                    # A rollback makes its own: a kill before it must find the run on its way to this look.
                    falling = fallen and options.on_collapse == "rollback"
                    if (last or run.crossed(options.checkpoint_every, before)) and not falling:
                        save(run)
                    if fallen:
                        raise TrainingFailed(fallen)
                except TrainingFailed as failure:
                    if options.on_collapse != "rollback":
                        raise
                    go_back(run, failure)
                if stop:
                    raise Interrupted
        say(
            console,
            f"Done: {run.state.images_seen:,} images. The generator is in {folder / FILE_NAME}, "
            f"pictures of it in {folder / 'samples'}",
        )


def begin(settings: Settings, folder: Path, dataset: Dataset, device: torch.device) -> tuple[State, bool]:
    """The state to go on from, and whether it came from a checkpoint. Raises UserError."""
    state = new_state(settings, dataset.spec, device)
    resumed = go_on(folder, Header(settings, dataset.spec, 0, dataset.fingerprint), state)
    if not resumed:
        # Of an earlier run, or of this one killed before its first checkpoint.
        (folder / SOUND_FILE).unlink(missing_ok=True)
        if settings.source:
            take_over(state, settings, dataset.spec)
    return state, resumed


def train_unwatched(
    header: Header,
    settings: Settings,
    folder: Path,
    build: Callable[[], tuple[nn.Module, nn.Module]],
    step: Callable[[State], Figures],
    to_try: str,
    console: Console,
    checkpoint_every: int,
) -> None:
    """The same of another command's run, without looks at its pictures.

    settings: of the first weights and the optimisers. build: G and D, with first weights of torch's global generator. step: an update; returns detached scalars. to_try: at NaN, in words.
    Raises Interrupted, when a checkpoint has been written; UserError.
    """
    images = header.settings.images
    with only_run_in(folder), stop_signals() as stopping:
        state = new_state(settings, header.spec, torch.device("cpu"), build)
        go_on(folder, header, state)
        say(console, f"At {state.images_seen:,} of {images:,} images in {folder}")
        display = Display(console, images, state.images_seen, time.monotonic())
        updates: list[Figures] = []
        last = state.images_seen >= images
        with display.bar:
            while not last:
                before = state.images_seen // checkpoint_every
                updates.append(step(state))
                last = state.images_seen >= images or bool(stopping)
                due = last or state.images_seen // checkpoint_every != before
                if due or len(updates) == FIGURES_EVERY_UPDATES:
                    figures = take_means(updates)
                    check_finite(figures, state.images_seen, to_try)
                    display.show(figures, state.images_seen, time.monotonic())
                if due:
                    save_state(folder, replace(header, images_seen=state.images_seen), state)
        if stopping:
            raise Interrupted


def show_figures(run: Run) -> None:
    """Figures and what they warn of, for the person at the terminal and for TensorBoard. Raises TrainingFailed at NaN."""
    figures, images_seen = take_means(run.updates), run.state.images_seen
    check_finite(figures, images_seen, remedy(DIVERGENCE, run.settings))
    for name, words in run.watch.read(figures, images_seen).items():
        warn(run, name, words)
    run.display.show(figures, images_seen, time.monotonic(), run.watch.warned)
    speed = {"images/s": run.display.images_per_second}
    run.board.add_scalars(figures | speed | run.watch.scalars(), images_seen)


def look(run: Run) -> str:
    """Draw the fixed addresses with the average. Returns what to say where they have become one picture, or ""."""
    settings, spec, state = run.settings, run.dataset.spec, run.state
    rows = class_rows(settled(state.average, settings, spec), settings, spec)
    picture = grid(rows.reshape(-1, *rows.shape[2:]), COLUMNS)
    write_atomically(run.options.folder / "samples" / f"{state.images_seen:09}.png", png(picture))
    diversity = run.diversity.of(rows)
    low = is_low(diversity, state.images_seen, settings)
    # One low look may be chance, so that the first only warns.
    second, state.low_look = low and state.low_look, low
    words = collapse(diversity, state.images_seen, settings) if low else ""
    if run.watch.set("mode collapse", low):
        warn(run, "mode collapse", words.removeprefix("Mode collapse: "))
    run.board.add_image("samples", picture, state.images_seen)
    run.board.add_scalars({"diversity": diversity} | run.watch.scalars(), state.images_seen)
    if run.options.on_collapse == "rollback" and diversity >= LOW_DIVERSITY:
        keep_sound(run.options.folder, run.header, state)
    return words if second and run.options.on_collapse != "warn" else ""


def save(run: Run) -> None:
    """The checkpoint. Raises TrainingFailed where the weights are NaN."""
    check_weights(run.state, run.settings)
    save_state(run.options.folder, run.header, run.state)
    run.options.on_checkpoint(run.state.images_seen)


def go_back(run: Run, failure: TrainingFailed) -> None:
    """The run goes on from its last sound state, which is its checkpoint from now on. Raises TrainingFailed after enough."""
    run.go_on_from(roll_back(run.options.folder, run.settings, run.dataset, run.state, failure))
    images_seen = run.state.images_seen
    words = (
        f"Going back to {images_seen:,} images, with other draws and half the learning rates "
        f"(rollback {run.state.rollbacks} of {MOST_ROLLBACKS})."
    )
    say(run.display.console, f"{failure}\n{words}")
    run.display.go_back(images_seen, time.monotonic())
    run.board.open(images_seen)
    run.board.add_text("rollback", f"{failure}\n\n{words}", images_seen)


def warn(run: Run, name: str, words: str) -> None:
    run.display.warn(name, words)
    run.board.add_text(f"watchdog/{name}", words, run.state.images_seen)


def say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)
