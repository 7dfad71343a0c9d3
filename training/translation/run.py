"""A run of pix2pix, or of its U-Net under L1 alone: begun, gone on with in the same bits, and read again."""

import copy
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from service.generator.images import grid, png
from training.data.dataset import Dataset, Pixels, to_float, to_uint8
from training.errors import UserError
from training.files import write_atomically
from training.gan import ema
from training.gan.state import OPTIMISERS, State
from training.gan.step import Figures, gradient_norm
from training.run import checkpoint
from training.run.alarms import TrainingFailed
from training.run.guard import only_run_in, stop_signals
from training.run.loop import FIGURES_EVERY_UPDATES, Interrupted, say
from training.run.progress import Display
from training.settings import ImageSpec
from training.translation.losses import generator_loss, halved_discriminator_loss, l1
from training.translation.networks import Discriminator, Generator
from training.translation.rules import rule_of

FILE_NAME = "translation.safetensors"
FORMAT = "translation 1"
COLUMNS = 10


@dataclass(frozen=True)
class Settings:
    """What a run learns and how long. Lengths in real images seen, as in training/settings.py."""

    rule: str = "edges"
    seed: int = 0
    """Decides the first weights and the order of the images; nothing else is drawn."""
    images: int = 100_000
    batch: int = 16
    width: int = 24
    """Channels of both networks at half resolution."""
    l1_weight: float = 100.0
    """lambda of Eq. 4, theirs."""
    adversarial: bool = True
    """False: L1 alone, what the discriminator's part is to be compared with."""
    lr: float = 5e-4
    """Of both networks, over the first half of the run; then it falls linearly to 0. Theirs is 2e-4 at batches of 1."""
    ema_half_life: float = 5000.0
    """As in training/settings.py; at most a tenth of the images seen so far."""


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

    generator: Generator
    settings: Settings
    spec: ImageSpec
    images_seen: int

    @torch.inference_mode()
    def __call__(self, given: Pixels) -> Pixels:
        """given: uint8 [N, c, h, w], of the rule. Returns uint8 [N, C, H, W]."""
        parts = torch.from_numpy(given).split(250)
        return np.concatenate([to_uint8(self.generator(to_float(part.numpy()))) for part in parts])


def train(
    settings: Settings, folder: Path, dataset: Dataset, console: Console, checkpoint_every: int = 10_000
) -> None:
    """Until `settings.images`, going on from the folder's checkpoint if it has one: in the same bits, on one machine's CPU.

    Raises Interrupted, when a checkpoint has been written; UserError.
    """
    dataset = dataset.as_one_class()
    rule = rule_of(settings.rule, dataset.spec.channels)
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
                real = dataset.images[dataset.batch_indices(settings.seed, k, settings.batch)]
                updates.append(train_step(settings, state, to_float(rule.of(real)), to_float(real)))
                last = state.images_seen >= settings.images or bool(stopping)
                due = last or state.images_seen // checkpoint_every != before
                if due or len(updates) == FIGURES_EVERY_UPDATES:
                    display.show(means(updates), state.images_seen, time.monotonic())
                    updates.clear()
                if due:
                    save(settings, folder, dataset, state)
        if stopping:
            raise Interrupted
        shown = dataset.test_images[:COLUMNS]
        write_atomically(folder / "samples.png", png(rows([open_run(folder)], rule.of(shown), shown)))


def means(updates: list[Figures]) -> dict[str, float]:
    """Of each figure. Raises TrainingFailed."""
    found = {name: float(torch.stack([one[name] for one in updates]).mean()) for name in updates[0]}
    if not all(map(math.isfinite, found.values())):
        raise TrainingFailed(
            "A loss became NaN or infinite: try a lower --lr. The checkpoint is from before."
        )
    return found


def train_step(settings: Settings, state: State, given: Tensor, real: Tensor) -> Figures:
    """One update of D, then one of G, by the same fakes (section 3.3), and one of the average.

    given: float32 [N, c, h, w]; real: float32 [N, C, H, W]; both in [-1, 1]. Returns detached scalars.
    """
    left = min(1.0, 2 - 2 * state.images_seen / settings.images)
    for optimiser in (state.optimiser_g, state.optimiser_d):
        optimiser.param_groups[0]["lr"] = settings.lr * left
    fake = state.G(given)
    figures = {"L1": l1(fake.detach(), real)}
    if settings.adversarial:
        state.D.requires_grad_(True)
        real_logits, fake_logits = state.D(given, real), state.D(given, fake.detach())
        loss = halved_discriminator_loss(real_logits, fake_logits)
        loss.backward()
        figures |= {"loss/D": loss.detach(), "gradient/D": gradient_norm(state.D)}
        figures |= {"D(x)": real_logits.detach().sigmoid().mean()}
        figures |= {"D(G(z))": fake_logits.detach().sigmoid().mean()}
        state.optimiser_d.step()
        state.optimiser_d.zero_grad(set_to_none=True)
        state.D.requires_grad_(False)
        objective = generator_loss(state.D(given, fake), fake, real, settings.l1_weight)
    else:
        objective = settings.l1_weight * l1(fake, real)
    objective.backward()
    figures |= {"loss/G": objective.detach(), "gradient/G": gradient_norm(state.G)}
    state.optimiser_g.step()
    state.optimiser_g.zero_grad(set_to_none=True)
    state.images_seen += settings.batch
    half_life = min(settings.ema_half_life, state.images_seen / 10)
    ema.update(state.average, state.G, 0.5 ** (settings.batch / half_life))
    return figures


def begin(settings: Settings, folder: Path, dataset: Dataset) -> State:
    """The state to go on from; the first one, a function of the seed, where there is none. Raises UserError."""
    given = rule_of(settings.rule, dataset.spec.channels).of(dataset.images[:1]).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G: nn.Module = Generator(given, dataset.spec, settings.width)
        D: nn.Module = Discriminator(given, dataset.spec, settings.width)
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
    weights = checkpoint.part(tensors, "average")
    generator = Generator(weights["down.0.0.weight"].shape[1], header.spec, header.settings.width)
    generator.load_state_dict(weights)
    generator.eval().requires_grad_(False)
    return Translator(generator, header.settings, header.spec, header.images_seen)


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


def rows(translators: Iterable[Translator], given: Pixels, real: Pixels) -> Pixels:
    """A row of pictures that went in, one of each generator, and the real ones: uint8 [C, rows H, N W]."""
    height, width = (real.shape[axis] // given.shape[axis] for axis in (2, 3))
    large = given.repeat(height, axis=2).repeat(width, axis=3)
    made = [one(given) for one in translators]
    return grid(np.concatenate([np.broadcast_to(large, real.shape), *made, real]), len(real))
