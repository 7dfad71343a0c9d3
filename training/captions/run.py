"""A run of text to image (Reed et al. 2016): begun, gone on with in the same bits, and read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from service.generator.text.reading import ids_of_words
from training.captions.networks import build
from training.captions.rules import Captions, States, captions_of, combinations
from training.data.dataset import Dataset, Indices, Pixels, drawn_by, to_float
from training.export.card import SAMPLES, shown
from training.files import write_atomically
from training.gan import ema
from training.gan.augment import augment
from training.gan.losses import matching_aware_discriminator_loss, non_saturating_generator_loss
from training.gan.networks.residual import Discriminator, Generator
from training.gan.penalties import r1
from training.gan.state import State
from training.gan.step import Figures, descend, draws, learning_rate_share, r1_gamma, take_step
from training.run import checkpoint
from training.run.loop import train_unwatched
from training.settings import Settings

SETTLING = 2048


@dataclass(frozen=True, kw_only=True)
class Header(checkpoint.Header):
    """thresholds: as in rules.Captions. interpolated: whether half of G's texts are half way between two."""

    file_name = "captions.safetensors"
    format = "captions 1"
    command = "caption train"

    attributes: tuple[str, ...]
    thresholds: list[list[list[float]]]
    interpolated: bool

    @property
    def choices(self) -> dict[str, Any]:
        return super().choices | {"attributes": self.attributes, "interpolated": self.interpolated}

    @property
    def captions(self) -> Captions:
        return Captions(self.spec.class_names, self.attributes, np.array(self.thresholds))


@dataclass(frozen=True)
class Painter:
    """A trained generator, the average of its weights, on the CPU: and all that is known of it."""

    generator: Generator
    header: Header

    def __call__(self, z: Tensor, texts: Sequence[str]) -> Pixels:
        """z: float32 [N, z_dim]. Returns uint8 [N, C, H, W]. Raises InvalidField: a word that it does not know."""
        return drawn_by(self.generator, z, ids_of(self.header.captions, texts))

    def forward(self, rows: NDArray[np.float32], _: Indices | None) -> Pixels:
        """As an engine: rows are z and then the token ids, float32 [N, z_dim + L]."""
        z, ids = torch.from_numpy(rows).tensor_split([self.header.settings.z_dim], dim=1)
        return drawn_by(self.generator, z, ids.long())


def ids_of(captions: Captions, texts: Sequence[str]) -> Tensor:
    """int64 [N, L]."""
    return torch.tensor([ids_of_words(text, captions.words, captions.length) for text in texts])


def train(
    settings: Settings,
    folder: Path,
    dataset: Dataset,
    console: Console,
    attributes: Sequence[str] = (),
    interpolated: bool = True,
    checkpoint_every: int = 10_000,
) -> None:
    """Until `settings.images`, going on from the folder's checkpoint if it has one: in the same bits, on one machine's CPU.

    Raises Interrupted, when a checkpoint has been written; UserError.
    """
    captions = captions_of(dataset, attributes)
    states = captions.states(dataset.images, dataset.labels)
    kept = ~captions.is_held_out(dataset.labels, states)
    header = Header(
        settings,
        dataset.spec,
        data_fingerprint=dataset.fingerprint,
        attributes=captions.attributes,
        thresholds=captions.thresholds.tolist(),
        interpolated=interpolated,
    )
    seen, said = dataset.trained_on(kept), states[kept]
    first = partial(build, settings, header.spec, len(captions.words))

    def step(state: State) -> Figures:
        return train_step(header, state, seen, said)

    to_try = "Try another --seed, or a larger --batch."
    train_unwatched(header, settings, folder, first, step, to_try, console, checkpoint_every)
    write_atomically(folder / SAMPLES, picture(open_run(folder)))


def train_step(header: Header, state: State, dataset: Dataset, states: States) -> Figures:
    """One update of D, one of G, one of the average. states: of the data set's images. Returns detached scalars.

    Every draw comes from (seed, images_seen), as in gan/step.py.
    """
    settings, captions = header.settings, header.captions
    progress, k = state.images_seen / settings.images, state.images_seen // settings.batch
    for optimiser, lr in ((state.optimiser_g, settings.lr_g), (state.optimiser_d, settings.lr_d)):
        optimiser.param_groups[0]["lr"] = lr * learning_rate_share(settings, progress)
    rows = dataset.batch_indices(settings.seed, k, settings.batch)
    words, rng = np.random.default_rng([settings.seed, k]), draws(settings.seed, k, 0)
    told = [captions.told(int(dataset.labels[row]), states[row], words) for row in rows]
    fitting, wrong = (ids_of(captions, texts) for texts in zip(*told, strict=True))
    real = to_float(dataset.images[rows])
    seen_as = partial(augment, names=settings.augment, rng=rng)

    D = state.D.requires_grad_(True)
    assert isinstance(D, Discriminator)
    with torch.no_grad():
        fake = state.G(torch.randn(len(real), settings.z_dim, generator=rng), fitting)
    features_real, features_fake = D.features(seen_as(torch.cat([real, fake]))).chunk(2)
    logits = [
        D.logits(*pair)
        for pair in ((features_real, fitting), (features_real, wrong), (features_fake, fitting))
    ]
    loss = matching_aware_discriminator_loss(*logits)
    loss.backward()
    figures = {"loss/D": loss.detach()}
    for name, one in zip(("D(x)", "D(x, wrong)", "D(G(z))"), logits, strict=True):
        figures[name] = one.detach().sigmoid().mean()
    if k % settings.r1_every == 0:
        strength = r1_gamma(settings, progress) / 2 * settings.r1_every
        descend(r1(lambda images: D(seen_as(images), fitting), real), strength)
    figures["gradient/D"] = take_step(D, state.optimiser_d)

    D.requires_grad_(False)
    # Of half the batch the text is half way to the next picture's: Eq. 5 beside Algorithm 1, each on as many images.
    between = fitting[:, None].repeat(1, 2, 1)
    if header.interpolated:
        between[::2, 1] = fitting.roll(-1, 0)[::2]
    fake = state.G(torch.randn(len(real), settings.z_dim, generator=rng), between)
    objective = non_saturating_generator_loss(state.D(seen_as(fake), between))
    objective.backward()
    figures |= {"loss/G": objective.detach(), "gradient/G": take_step(state.G, state.optimiser_g)}
    state.images_seen += settings.batch
    ema.update(state.average, state.G, ema.decay(settings, state.images_seen, settings.batch))
    return figures


def open_run(folder: Path) -> Painter:
    """The averaged generator of a run folder, its batch norms measured on captions of the rule. Raises UserError."""
    header, tensors = checkpoint.read(folder, Header)
    captions = header.captions
    generator, _ = build(header.settings, header.spec, len(captions.words))
    generator.load_state_dict(checkpoint.part(tensors, "average"))
    generator.requires_grad_(False)
    rng = np.random.default_rng(0)
    sides = rng.integers(-1, 2, (SETTLING, len(captions.attributes)))
    texts = [captions.told(i % header.spec.classes, state, rng)[0] for i, state in enumerate(sides)]
    ema.settle_batch_norm(generator, header.settings, header.spec, labels=ids_of(captions, texts))
    return Painter(generator, header)


def picture(painter: Painter) -> bytes:
    """A PNG: a row for each combination of words, a column for each class, of one z."""
    captions = painter.header.captions
    asked = sorted(combinations(captions), key=lambda one: one[1])
    texts = [captions.text(*one) for one in asked]
    z = torch.randn(1, painter.header.settings.z_dim, generator=torch.Generator().manual_seed(0))
    return shown(painter(z.expand(len(texts), -1), texts), len(captions.names))
