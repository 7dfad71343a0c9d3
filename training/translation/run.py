"""A run of pix2pix, of its U-Net under L1 alone, or of CycleGAN: begun, gone on with in the same bits, and read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

from training import settings as gan
from training.data.dataset import Dataset, Pixels, drawn_by, to_float
from training.export.card import COLUMNS, SAMPLES, shown
from training.files import write_atomically
from training.gan.state import State
from training.gan.step import Figures
from training.run import checkpoint
from training.run.loop import train_unwatched
from training.translation.networks import enlarged, networks
from training.translation.rules import Rule, domains, rule_of
from training.translation.settings import Settings
from training.translation.step import train_step


@dataclass(frozen=True)
class Header(checkpoint.Header):
    file_name = "translation.safetensors"
    format = "translation 1"
    command = "translate train"

    settings: Settings  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def rule(self) -> Rule:
        return rule_of(self.settings.rule, self.spec.channels)

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """G and D, with first weights of torch's global generator."""
        return networks(self.settings, self.rule.channels(self.spec.channels), self.spec)


@dataclass(frozen=True)
class Translator:
    """A trained generator, the average of its weights, on the CPU: and all that is known of it."""

    generator: nn.Module
    header: Header
    generator_back: nn.Module | None = None

    def __call__(self, given: Pixels) -> Pixels:
        """given: uint8 [N, c, h, w], of the rule. Returns uint8 [N, C, H, W]."""
        return drawn_by(self.generator, to_float(given))

    def back(self, made: Pixels) -> Pixels:
        """CycleGAN's F, of what it made."""
        assert self.generator_back is not None
        return drawn_by(self.generator_back, to_float(made))


def train(
    settings: Settings, folder: Path, dataset: Dataset, console: Console, checkpoint_every: int = 10_000
) -> None:
    """Until `settings.images`, going on from the folder's checkpoint if it has one: in the same bits, on one machine's CPU.

    Raises Interrupted, when a checkpoint has been written; UserError.
    """
    source, target = (one.as_one_class() for one in domains(settings, dataset))
    header = Header(settings, target.spec, data_fingerprint=target.fingerprint)
    rule, size, lr = header.rule, settings.batch, settings.lr
    of_optimisers = gan.Settings(seed=settings.seed, lr_g=lr, lr_d=lr, beta1=0.5, beta2=0.999)

    def build() -> tuple[nn.Module, nn.Module]:
        # Buffers too, CycleGAN's pools.
        G, D = (one.to(memory_format=torch.channels_last) for one in header.networks())  # pyright: ignore[reportCallIssue]
        return G, D

    def step(state: State) -> Figures:
        k = state.images_seen // size
        given, real = (of.images[of.batch_indices(settings.seed, k, size)] for of in (source, target))
        return train_step(settings, state, to_float(rule.of(given)), to_float(real))

    to_try = "Try a lower --lr."
    train_unwatched(header, of_optimisers, folder, build, step, to_try, console, checkpoint_every)
    write_atomically(folder / SAMPLES, picture([open_run(folder)], source, target))


def open_run(folder: Path) -> Translator:
    """The averaged generator of a run folder. Raises UserError."""
    header, tensors = checkpoint.read(folder, Header)
    average, _ = header.networks()
    average.load_state_dict(checkpoint.part(tensors, "average"))
    average.eval().requires_grad_(False)
    there, back = average.children() if header.settings.unpaired else (average, None)
    return Translator(there, header, back)


def picture(translators: Sequence[Translator], source: Dataset, target: Dataset) -> bytes:
    """A PNG of held-out pictures, from all over the split, which may be in the classes' order: a row of what goes in, one of each
    generator, and the real ones.

    Without pairs in the place of the real ones what the first makes of its own, on the way back.
    """
    first = translators[0]
    count = min(COLUMNS, len(source.test_images), len(target.test_images))
    there, real = (
        images[np.linspace(0, len(images) - 1, count).astype(int)]
        for images in (source.test_images, target.test_images)
    )
    given = first.header.rule.of(there)
    made = [one(given) for one in translators]
    last = first.back(made[0]) if first.header.settings.unpaired else real
    large = enlarged(torch.from_numpy(given), real.shape[2:]).numpy()
    return shown(np.concatenate([np.broadcast_to(large, last.shape), *made, last]), len(last))
