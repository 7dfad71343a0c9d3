"""A run of pix2pix, of its U-Net under L1 alone, or of CycleGAN: begun, gone on with in the same bits, and read again."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from training.data.dataset import Dataset, Pixels, to_float, to_uint8
from training.errors import UserError
from training.export.card import COLUMNS, SAMPLES, shown
from training.files import write_atomically
from training.gan.state import OPTIMISERS, State
from training.gan.step import Figures
from training.run import checkpoint
from training.run.alarms import TrainingFailed
from training.run.guard import only_run_in, stop_signals
from training.run.loop import FIGURES_EVERY_UPDATES, Interrupted, say
from training.run.progress import Display
from training.settings import ImageSpec
from training.translation.networks import enlarged, networks
from training.translation.rules import domains, rule_of
from training.translation.settings import Settings
from training.translation.step import train_step

FILE_NAME = "translation.safetensors"
FORMAT = "translation 1"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says in words, beside its tensors."""

    settings: Settings
    spec: ImageSpec
    images_seen: int
    data_fingerprint: int


@dataclass(frozen=True)
class Translator:
    """A trained generator, the average of its weights, on the CPU: and all that is known of it."""

    generator: nn.Module
    settings: Settings
    spec: ImageSpec
    images_seen: int
    generator_back: nn.Module | None = None

    def __call__(self, given: Pixels) -> Pixels:
        """given: uint8 [N, c, h, w], of the rule. Returns uint8 [N, C, H, W]."""
        return _drawn(self.generator, given)

    def back(self, made: Pixels) -> Pixels:
        """CycleGAN's F, of what it made."""
        assert self.generator_back is not None
        return _drawn(self.generator_back, made)


def train(
    settings: Settings, folder: Path, dataset: Dataset, console: Console, checkpoint_every: int = 10_000
) -> None:
    """Until `settings.images`, going on from the folder's checkpoint if it has one: in the same bits, on one machine's CPU.

    Raises Interrupted, when a checkpoint has been written; UserError.
    """
    rule = rule_of(settings.rule, dataset.spec.channels)
    source, dataset = (one.as_one_class() for one in domains(settings, dataset))
    with only_run_in(folder), stop_signals() as stopping:
        state = begin(settings, folder, dataset)
        say(console, f"At {state.images_seen:,} of {settings.images:,} images in {folder}")
        display = Display(console, settings.images, state.images_seen, time.monotonic())
        updates: list[Figures] = []
        last = state.images_seen >= settings.images
        with display.bar:
            while not last:
                before = state.images_seen // checkpoint_every
                k = state.images_seen // settings.batch
                given, real = (
                    of.images[of.batch_indices(settings.seed, k, settings.batch)] for of in (source, dataset)
                )
                updates.append(train_step(settings, state, to_float(rule.of(given)), to_float(real)))
                last = state.images_seen >= settings.images or bool(stopping)
                due = last or state.images_seen // checkpoint_every != before
                if due or len(updates) == FIGURES_EVERY_UPDATES:
                    display.show(means(updates), state.images_seen, time.monotonic())
                    updates.clear()
                if due:
                    save(settings, folder, dataset, state)
        if stopping:
            raise Interrupted
        write_atomically(folder / SAMPLES, picture([open_run(folder)], source, dataset))


def means(updates: list[Figures]) -> dict[str, float]:
    """Of each figure. Raises TrainingFailed."""
    found = {name: float(torch.stack([one[name] for one in updates]).mean()) for name in updates[0]}
    if not all(map(math.isfinite, found.values())):
        raise TrainingFailed(
            "A loss became NaN or infinite: try a lower --lr. The checkpoint is from before."
        )
    return found


def begin(settings: Settings, folder: Path, dataset: Dataset) -> State:
    """The state to go on from; the first one, a function of the seed, where there is none. Raises UserError."""
    given = rule_of(settings.rule, dataset.spec.channels).channels(dataset.spec.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, D = networks(settings, given, dataset.spec)
    for network in (G, D):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    adam = OPTIMISERS["adam"]
    optimiser_g, optimiser_d = (adam(network.parameters(), settings.lr, 0.5, 0.999) for network in (G, D))
    average = copy.deepcopy(G).requires_grad_(False)
    state = State(G, D, average, optimiser_g, optimiser_d, torch.zeros(()))
    if (folder / FILE_NAME).exists():
        header, tensors = read(folder)
        # A longer or shorter run may go on from the same state; anything else would be another run.
        was, now = asdict(header.settings), asdict(replace(settings, images=header.settings.images))
        if differing := [f"{name} ({was[name]}, now {now[name]})" for name in now if was[name] != now[name]]:
            raise UserError(
                f"{folder} holds a run with other settings: {', '.join(differing)}. Give another --run."
            )
        if header.data_fingerprint != dataset.fingerprint:
            raise UserError(f"{folder} holds a run on other images: give the same --data, or another --run.")
        checkpoint.restore(tensors, state)
        state.images_seen = header.images_seen
    return state


def save(settings: Settings, folder: Path, dataset: Dataset, state: State) -> None:
    """Replace the run's checkpoint; killed at any moment, it leaves the old one or the new one."""
    header = Header(settings, dataset.spec, state.images_seen, dataset.fingerprint)
    write_atomically(folder / FILE_NAME, checkpoint.written({"format": FORMAT, **asdict(header)}, state))


def open_run(folder: Path) -> Translator:
    """The averaged generator of a run folder. Raises UserError."""
    header, tensors = read(folder)
    given = rule_of(header.settings.rule, header.spec.channels).channels(header.spec.channels)
    average, _ = networks(header.settings, given, header.spec)
    average.load_state_dict(checkpoint.part(tensors, "average"))
    average.eval().requires_grad_(False)
    there, back = average.children() if header.settings.unpaired else (average, None)
    return Translator(there, header.settings, header.spec, header.images_seen, back)


def read(folder: Path) -> tuple[Header, dict[str, Tensor]]:
    """Raises UserError: no checkpoint, or a damaged one, or one of another kind."""
    file = folder / FILE_NAME
    if not file.is_file():
        raise UserError(f"no checkpoint at {file}: give a run folder of `translate train`")
    words, tensors = checkpoint.opened(file)
    try:
        if words.get("format") != FORMAT:
            raise ValueError(f"it is none of format '{FORMAT}'")
        return msgspec.convert(words, Header), tensors
    except (ValueError, msgspec.ValidationError) as error:
        raise UserError(f"{file} is of another version of ganserve: {error}") from error


def picture(translators: Sequence[Translator], source: Dataset, target: Dataset) -> bytes:
    """A PNG of held-out pictures: a row of what goes in, one of each generator, and the real ones.

    Without pairs in the place of the real ones what the first makes of its own, on the way back.
    """
    first = translators[0]
    real = target.test_images[:COLUMNS]
    given = rule_of(first.settings.rule, real.shape[1]).of(source.test_images[: len(real)])
    made = [one(given) for one in translators]
    last = first.back(made[0]) if first.settings.unpaired else real
    large = enlarged(torch.from_numpy(given), real.shape[2:]).numpy()
    return shown(np.concatenate([np.broadcast_to(large, last.shape), *made, last]), len(last))


@torch.inference_mode()
def _drawn(generator: nn.Module, given: Pixels) -> Pixels:
    parts = (given[start : start + 250] for start in range(0, len(given), 250))
    return np.concatenate([to_uint8(generator(to_float(part))) for part in parts])
