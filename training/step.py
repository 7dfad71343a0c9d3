"""One update of the discriminator, one of the generator."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from training import ema
from training.augment import augment
from training.losses import LOSSES
from training.penalties import r1
from training.settings import Settings
from training.state import State

Batch = tuple[Tensor, Tensor]
Figures = dict[str, Tensor]


@dataclass(frozen=True)
class Trainer:
    """What an update needs beside the state: the choices, the images, the device's arithmetic."""

    settings: Settings
    classes: int
    device: torch.device
    real_batch: Callable[[int], Batch]
    # k -> (float32 [N, C, H, W] in [-1, 1], int64 [N]): the same for the same k, in any process.
    autocast: Callable[[], AbstractContextManager]


def train_step(trainer: Trainer, state: State) -> Figures:
    """d_steps updates of D, one of G, one of the average; images_seen moves on by d_steps batches.

    Every draw comes from (seed, images_seen), so the same state gives the same next state.
    Returns detached scalars by TensorBoard name.
    """
    settings = trainer.settings
    progress = state.images_seen / settings.images
    for optimiser, lr in ((state.optimiser_g, settings.lr_g), (state.optimiser_d, settings.lr_d)):
        optimiser.param_groups[0]["lr"] = lr * learning_rate_share(settings, progress)

    figures: Figures = {}
    first = state.images_seen // settings.batch
    for k in range(first, first + settings.d_steps):
        figures |= update_discriminator(trainer, state, k, r1_gamma(settings, progress))
    figures |= update_generator(trainer, state, first)

    state.images_seen += settings.batch * settings.d_steps
    ema.update(
        state.average, state.G, ema.decay(settings, state.images_seen, settings.batch * settings.d_steps)
    )
    return figures


def update_discriminator(trainer: Trainer, state: State, k: int, gamma: float) -> Figures:
    """Descend the discriminator's loss on real batch k and as many fakes, with R1 every r1_every-th k."""
    settings, D = trainer.settings, state.D
    rng = draws(settings.seed, k, 0)
    real, label = trainer.real_batch(k)
    D.requires_grad_(True)
    with trainer.autocast():
        with torch.no_grad():
            # Fakes of the classes of this very batch: D sees each class as often real as fake.
            fake = state.G(latents(trainer, len(label), rng), label)
        seen = augment(torch.cat([real, fake]), settings.augment, rng)
        real_logits, fake_logits = D(seen, torch.cat([label, label])).chunk(2)
        loss = LOSSES[settings.loss].discriminator(real_logits, fake_logits)
    loss.backward()
    figures = {
        "loss/D": loss.detach(),
        "D(x)": real_logits.detach().sigmoid().mean(),
        "D(G(z))": fake_logits.detach().sigmoid().mean(),
    }
    if gamma > 0 and k % settings.r1_every == 0:
        with trainer.autocast():
            penalty = r1(lambda images: D(augment(images, settings.augment, rng), label), real)
        # Lazily, and then as much stronger (Karras et al. 2020, arXiv 1912.04958, appendix B).
        (gamma / 2 * settings.r1_every * penalty).backward()
        figures["penalty/R1"] = penalty.detach()
    figures["gradient/D"] = gradient_norm(D)
    state.optimiser_d.step()
    state.optimiser_d.zero_grad(set_to_none=True)
    return figures


def update_generator(trainer: Trainer, state: State, k: int) -> Figures:
    """Descend the generator's loss on latents and classes of its own draw."""
    settings, G, D = trainer.settings, state.G, state.D
    rng = draws(settings.seed, k, 1)
    # D's weights need no gradient here, and theirs is more than half of its backward pass.
    D.requires_grad_(False)
    with trainer.autocast():
        label = torch.randint(trainer.classes, (settings.batch,), generator=rng).to(trainer.device)
        fake = G(latents(trainer, settings.batch, rng), label)
        loss = LOSSES[settings.loss].generator(D(augment(fake, settings.augment, rng), label))
    loss.backward()
    figures = {"loss/G": loss.detach(), "gradient/G": gradient_norm(G)}
    state.optimiser_g.step()
    state.optimiser_g.zero_grad(set_to_none=True)
    return figures


def learning_rate_share(settings: Settings, progress: float) -> float:
    """1 until `lr_constant` of the run, then linear to `lr_end`. progress: 0 to 1."""
    fallen = min(max(progress - settings.lr_constant, 0) / max(1 - settings.lr_constant, 1e-9), 1)
    return 1 + fallen * (settings.lr_end - 1)


def r1_gamma(settings: Settings, progress: float) -> float:
    """R1's strength, geometric from r1_gamma to r1_gamma_end. progress: 0 to 1."""
    if settings.r1_gamma == 0 or settings.r1_gamma_end == 0:
        return settings.r1_gamma * (1 - progress)
    return settings.r1_gamma * (settings.r1_gamma_end / settings.r1_gamma) ** min(progress, 1)


def draws(seed: int, k: int, purpose: int) -> torch.Generator:
    """The CPU generator of update k. A generator each, so that a resumed run needs no random state."""
    # Mixed, because torch's Mersenne Twister keeps only 32 bits of its seed.
    mixed = np.random.SeedSequence([seed, k, purpose]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


def latents(trainer: Trainer, count: int, rng: torch.Generator) -> Tensor:
    return torch.randn(count, trainer.settings.z_dim, generator=rng).to(trainer.device)


def gradient_norm(network: nn.Module) -> Tensor:
    """Euclidean norm of the gradient over all weights."""
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
