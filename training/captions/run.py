"""A run of text to image (Reed et al. 2016): begun, gone on with in the same bits, and read again."""

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from service.generator.images import grid, png
from service.generator.text.reading import ids_of_words
from training.captions.losses import matching_aware_discriminator_loss
from training.captions.networks import build
from training.captions.rules import Captions, States, captions_of, combinations
from training.data.dataset import Dataset, Pixels, to_float, to_uint8
from training.errors import UserError
from training.files import write_atomically
from training.gan import ema
from training.gan.augment import augment
from training.gan.losses import non_saturating_generator_loss
from training.gan.networks.residual import Discriminator, Generator
from training.gan.penalties import r1
from training.gan.state import OPTIMISERS, State
from training.gan.step import Figures, descend, draws, gradient_norm, learning_rate_share, r1_gamma
from training.run import checkpoint
from training.run.guard import only_run_in, stop_signals
from training.run.loop import FIGURES_EVERY_UPDATES, Interrupted, say
from training.run.progress import Display
from training.settings import ImageSpec, Settings
from training.translation.run import means

FILE_NAME = "captions.safetensors"
FORMAT = "captions 1"
COLUMNS = 10
SETTLING = 2048


@dataclass(frozen=True)
class Header:
    """What a checkpoint says in words, beside its tensors. thresholds: as in rules.Captions."""

    settings: Settings
    spec: ImageSpec
    attributes: tuple[str, ...]
    thresholds: list[list[list[float]]]
    interpolated: bool
    images_seen: int
    data_fingerprint: int

    @property
    def captions(self) -> Captions:
        return Captions(self.spec.class_names, self.attributes, np.array(self.thresholds))


@dataclass(frozen=True)
class Painter:
    """A trained generator, the average of its weights, on the CPU: and all that is known of it."""

    generator: Generator
    header: Header

    @torch.inference_mode()
    def __call__(self, z: Tensor, texts: Sequence[str]) -> Pixels:
        """z: float32 [N, z_dim]. Returns uint8 [N, C, H, W]. Raises InvalidField: a word that it does not know."""
        ids = ids_of(self.header.captions, texts)
        parts = zip(z.split(250), ids.split(250), strict=True)
        return np.concatenate([to_uint8(self.generator(*part)) for part in parts])


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
    seen = replace(dataset, images=dataset.images[kept], labels=dataset.labels[kept])
    thresholds, spec = captions.thresholds.tolist(), dataset.spec
    header = Header(settings, spec, captions.attributes, thresholds, interpolated, 0, dataset.fingerprint)
    with only_run_in(folder), stop_signals() as stopping:
        state = begin(header, folder)
        say(console, f"At {state.images_seen:,} of {settings.images:,} images in {folder}")
        display = Display(console, settings.images, state.images_seen, time.monotonic())
        updates: list[Figures] = []
        last = state.images_seen >= settings.images
        with display.bar:
            while not last:
                before = state.images_seen // checkpoint_every
                updates.append(train_step(header, state, seen, states[kept]))
                last = state.images_seen >= settings.images or bool(stopping)
                due = last or state.images_seen // checkpoint_every != before
                if due or len(updates) == FIGURES_EVERY_UPDATES:
                    display.show(means(updates), state.images_seen, time.monotonic())
                    updates.clear()
                if due:
                    words = {"format": FORMAT, **asdict(replace(header, images_seen=state.images_seen))}
                    write_atomically(folder / FILE_NAME, checkpoint.written(words, state))
        if stopping:
            raise Interrupted
        write_atomically(folder / "samples.png", png(shown(open_run(folder))))


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
    figures["gradient/D"] = gradient_norm(D)
    state.optimiser_d.step()
    state.optimiser_d.zero_grad(set_to_none=True)

    D.requires_grad_(False)
    # Of half the batch the text is half way to the next picture's: Eq. 5 beside Algorithm 1, each on as many images.
    between = fitting[:, None].repeat(1, 2, 1)
    if header.interpolated:
        between[::2, 1] = fitting.roll(-1, 0)[::2]
    fake = state.G(torch.randn(len(real), settings.z_dim, generator=rng), between)
    objective = non_saturating_generator_loss(state.D(seen_as(fake), between))
    objective.backward()
    figures |= {"loss/G": objective.detach(), "gradient/G": gradient_norm(state.G)}
    state.optimiser_g.step()
    state.optimiser_g.zero_grad(set_to_none=True)
    state.images_seen += settings.batch
    ema.update(state.average, state.G, ema.decay(settings, state.images_seen, settings.batch))
    return figures


def begin(header: Header, folder: Path) -> State:
    """The state to go on from; the first one, a function of the seed, where there is none. Raises UserError."""
    settings, adam = header.settings, OPTIMISERS["adam"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, D = build(settings, header.spec, len(header.captions.words))
    for network in (G, D):
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    betas = settings.beta1, settings.beta2
    optimiser_g, optimiser_d = (
        adam(G.parameters(), settings.lr_g, *betas),
        adam(D.parameters(), settings.lr_d, *betas),
    )
    average = copy.deepcopy(G).requires_grad_(False)
    state = State(G, D, average, optimiser_g, optimiser_d, torch.zeros(()))
    if (folder / FILE_NAME).exists():
        was, tensors = read(folder)
        # A longer or shorter run may go on from the same state; anything else would be another run.
        same = replace(settings, images=was.settings.images)
        if replace(header, settings=same, images_seen=was.images_seen) != was:
            raise UserError(
                f"{folder} holds a run with other settings, or on other images. Give another --run."
            )
        checkpoint.restore(tensors, state)
        state.images_seen = was.images_seen
    return state


def open_run(folder: Path) -> Painter:
    """The averaged generator of a run folder, its batch norms measured on captions of the rule. Raises UserError."""
    header, tensors = read(folder)
    captions = header.captions
    generator, _ = build(header.settings, header.spec, len(captions.words))
    generator.load_state_dict(checkpoint.part(tensors, "average"))
    generator.requires_grad_(False)
    rng = np.random.default_rng(0)
    sides = rng.integers(-1, 2, (SETTLING, len(captions.attributes)))
    texts = [captions.told(i % header.spec.classes, state, rng)[0] for i, state in enumerate(sides)]
    ema.settle_batch_norm(generator, header.settings, header.spec, labels=ids_of(captions, texts))
    return Painter(generator, header)


def read(folder: Path) -> tuple[Header, dict[str, Tensor]]:
    """Raises UserError: no checkpoint, or a damaged one, or one of another kind."""
    file = folder / FILE_NAME
    if not file.is_file():
        raise UserError(f"no checkpoint at {file}: give a run folder of `caption train`")
    words, tensors = checkpoint.opened(file)
    try:
        if words.get("format") != FORMAT:
            raise ValueError(f"it is none of format '{FORMAT}'")
        return msgspec.convert(words, Header), tensors
    except (ValueError, msgspec.ValidationError) as error:
        raise UserError(f"{file} is of another version of ganserve: {error}") from error


def shown(painter: Painter) -> Pixels:
    """A row for each combination of words, a column for each class, of one z: uint8 [C, rows H, K W]."""
    captions = painter.header.captions
    asked = sorted(combinations(captions), key=lambda one: one[1])
    texts = [captions.text(*one) for one in asked]
    z = torch.randn(1, painter.header.settings.z_dim, generator=torch.Generator().manual_seed(0))
    return grid(painter(z.expand(len(texts), -1), texts), len(captions.names))
