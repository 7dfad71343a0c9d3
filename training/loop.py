"""The spine of training: from an empty folder, or a checkpoint, to the last image."""

import contextlib
import fcntl
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from service.images import png
from training.alarms import CollapseAlarm, check_finite
from training.checkpoint import FILE_NAME, Header, read, restore, save_state, write_atomically
from training.dataset import Dataset, real_batches
from training.errors import UserError
from training.progress import Display
from training.samples import COLUMNS, MAX_ROWS, class_grid, class_rows, settled
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
    checkpoint_every: int = 20_000
    # Images between two checkpoints: some two minutes of a CPU core.
    samples_every: int = 50_000
    # Images between two sample grids, with their look for mode collapse.
    tensorboard: bool = True


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came; a checkpoint has been written."""


def train(settings: Settings, run: Run, dataset: Dataset, console: Console) -> None:
    """Train until `settings.images`, going on from the folder's checkpoint if it has one.

    The same settings end in the same bits on one machine, however often the run was stopped.
    Raises Interrupted; UserError, of which TrainingFailed says what to try.
    """
    with only_run_in(run.folder), stop_signal() as stopping:
        device = choose_device(run.device)
        state, resumed = begin(settings, run, dataset, device)
        if resumed and state.images_seen >= settings.images:
            console.print(f"{run.folder} has finished: {state.images_seen:,} images. Nothing to do.")
            return
        autocast, arithmetic = choose_precision(settings.precision, device)
        batches = real_batches(dataset, settings.seed, settings.batch, device)
        trainer = Trainer(settings, dataset.spec.classes, device, batches, autocast)
        console.print(
            f"{'Going on' if resumed else 'Starting'} at {state.images_seen:,} of {settings.images:,} images "
            f"in {run.folder}: {device}, {arithmetic}, {torch.get_num_threads()} threads",
            soft_wrap=True,
        )
        looks = Looks(settings, run, dataset, state.images_seen)
        means = Means()
        with looks.board, Display(console, settings.images, state.images_seen, time.monotonic()) as display:
            while state.images_seen < settings.images:
                before = state.images_seen
                means.add(train_step(trainer, state))
                ended = state.images_seen >= settings.images or bool(stopping)

                if ended or means.updates == FIGURES_EVERY_UPDATES:
                    figures = means.take()
                    # Before any save: the checkpoint on disk is always one without NaN.
                    check_finite(figures, state.images_seen)
                    display.show(figures, state.images_seen, time.monotonic())
                    looks.board.add_scalars(
                        figures | {"images/s": display.images_per_second}, state.images_seen
                    )
                if crossed(run.samples_every, before, state.images_seen) or ended:
                    looks.look(state)
                if (
                    crossed(run.checkpoint_every, before, state.images_seen) and state_is_finite(state)
                ) or ended:
                    save_state(run.folder, Header(settings, dataset.spec, state.images_seen), state)
                if stopping:
                    raise Interrupted
        console.print(
            f"Done: {state.images_seen:,} images. The generator is in {run.folder / FILE_NAME}",
            soft_wrap=True,
        )


def begin(settings: Settings, run: Run, dataset: Dataset, device: torch.device) -> tuple[State, bool]:
    """The state to go on from, and whether it came from a checkpoint. Raises UserError."""
    file = run.folder / FILE_NAME
    state = new_state(settings, dataset.spec, device)
    if not file.exists():
        return state, False
    header, tensors = read(file)
    # A longer or shorter run may go on from the same state; anything else would be another run.
    was, now = header.settings.to_json(), replace(settings, images=header.settings.images).to_json()
    if differing := [f"{name} ({was[name]}, now {now[name]})" for name in now if was[name] != now[name]]:
        raise UserError(
            f"{run.folder} holds a run with other settings: {', '.join(differing)}. Give another --run."
        )
    if header.spec != dataset.spec:
        raise UserError(
            f"{run.folder} holds a run on another data set ({header.spec.dataset}). Give another --run."
        )
    restore(tensors, state)
    state.images_seen = header.images_seen
    return state, True


def crossed(every: int, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return before // every != after // every


def state_is_finite(state: State) -> bool:
    """No NaN in the weights: figures are read only now and then, and a save may fall in between."""
    return all(bool(torch.isfinite(p).all()) for network in (state.G, state.D) for p in network.parameters())


# ---- What is looked at -----------------------------------------------------------------------------


class Means:
    """Means of figures over updates; a figure that some updates lack is averaged over those that have it."""

    def __init__(self) -> None:
        self.updates = 0
        self.figures: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, figures: dict[str, Tensor]) -> None:
        self.updates += 1
        for name, value in figures.items():
            self.figures[name].append(value)

    def take(self) -> dict[str, float]:
        means = {name: float(torch.stack(values).mean()) for name, values in self.figures.items()}
        self.__init__()
        return means


class Looks:
    """Sample grids of the average, and the alarm that looks at them."""

    def __init__(self, settings: Settings, run: Run, dataset: Dataset, images_seen: int) -> None:
        self.settings, self.run, self.spec = settings, run, dataset.spec
        self.board = Board(run.folder, images_seen) if run.tensorboard else NoBoard()
        self.alarm = CollapseAlarm(dataset, min(self.spec.classes, MAX_ROWS), COLUMNS)

    def look(self, state: State) -> None:
        """Draw the fixed addresses; raises TrainingFailed when they have become one picture."""
        rows = class_rows(settled(state.average, self.settings, self.spec), self.settings, self.spec)
        picture = class_grid(rows)
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{state.images_seen:09}.png", png(picture))
        diversity = self.alarm.diversity(rows)
        self.board.add_image("samples", picture, state.images_seen)
        self.board.add_scalars({"diversity": diversity}, state.images_seen)
        self.alarm.check(diversity, state.images_seen / self.settings.images, state.images_seen)


class Board:
    """TensorBoard, by images seen."""

    def __init__(self, folder: Path, images_seen: int) -> None:
        # Imported late: it takes a second, and --help should not.
        from torch.utils.tensorboard import SummaryWriter

        # What a killed run wrote after its last checkpoint is drawn over.
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def add_scalars(self, figures: dict[str, float], images_seen: int) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, images_seen)

    def add_image(self, name: str, picture: Any, images_seen: int) -> None:
        self.writer.add_image(name, picture, images_seen)


class NoBoard:
    def __enter__(self) -> "NoBoard":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def add_scalars(self, figures: dict[str, float], images_seen: int) -> None:
        return

    def add_image(self, name: str, picture: Any, images_seen: int) -> None:
        return


# ---- What it runs on --------------------------------------------------------------------------------


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA if there is one. Raises UserError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine's torch sees no CUDA device")
    return torch.device(name)


def choose_precision(
    precision: str, device: torch.device
) -> tuple[Callable[[], AbstractContextManager], str]:
    """The arithmetic to train in, and its name.

    bf16 autocast pays where the hardware multiplies bf16: CUDA, or AMX and avx512_bf16 (a fifth
    of fp32's time was measured with AMX). Elsewhere it is emulated: 15 times slower on AVX2.
    """
    fast = (
        device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
    if precision == "bf16" or (precision == "auto" and fast):
        return lambda: torch.autocast(device.type, torch.bfloat16), "bf16 autocast"
    return contextlib.nullcontext, "fp32"


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold the folder, so that a second `train` cannot write into the same run. Raises UserError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            # The kernel lets go of it whichever way the process ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another process is training in {folder}") from error
        yield


@contextlib.contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C or SIGTERM comes; the update in hand is finished first."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        # The second one means now: the last checkpoint stands.
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
