"""One update of pix2pix, of its U-Net under L1 alone, or of CycleGAN."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from training.gan import ema
from training.gan.losses import (
    cycle_loss,
    discriminator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    pix2pix_generator_loss,
)
from training.gan.state import State
from training.gan.step import Figures, take_step
from training.translation.settings import Settings


def train_step(settings: Settings, state: State, given: Tensor, real: Tensor) -> Figures:
    """One update of D, then one of G, by the same fakes, and one of the average.

    given: float32 [N, c, h, w]; real: float32 [N, C, H, W]; both in [-1, 1]. Returns detached scalars.
    """
    left = min(1.0, 2 - 2 * state.images_seen / settings.images)
    for optimiser in (state.optimiser_g, state.optimiser_d):
        optimiser.param_groups[0]["lr"] = settings.lr * left
    figures = (unpaired if settings.unpaired else paired)(settings, state, given, real)
    state.images_seen += settings.batch
    half_life = min(settings.ema_half_life, state.images_seen / 10)
    ema.update(state.average, state.G, 0.5 ** (settings.batch / half_life))
    return figures


def paired(settings: Settings, state: State, given: Tensor, real: Tensor) -> Figures:
    """pix2pix, section 3.3: D sees what went in beside what came out."""
    fake = state.G(given)
    figures = {"L1": F.l1_loss(fake.detach(), real)}
    if not settings.adversarial:
        return figures | descend("G", settings.l1_weight * F.l1_loss(fake, real), state.G, state.optimiser_g)
    state.D.requires_grad_(True)
    real_logits, fake_logits = state.D(given, real), state.D(given, fake.detach())
    # Halved, which "slows down the rate at which D learns relative to G".
    loss = discriminator_loss(real_logits, fake_logits) / 2
    figures |= {"D(x)": real_logits.detach().sigmoid().mean()}
    figures |= {"D(G(z))": fake_logits.detach().sigmoid().mean()}
    figures |= descend("D", loss, state.D, state.optimiser_d)
    state.D.requires_grad_(False)
    objective = pix2pix_generator_loss(state.D(given, fake), fake, real, settings.l1_weight)
    return figures | descend("G", objective, state.G, state.optimiser_g)


def unpaired(settings: Settings, state: State, given: Tensor, real: Tensor) -> Figures:
    """CycleGAN, section 7.1: each D is shown the pool's fakes, each G is told by D of the new ones."""
    there, back = state.G.children()
    D_real, D_given, pool_real, pool_given = state.D.children()
    # Norms are of single pictures, so that two batches can be one.
    fake, same = there(torch.cat([given, real])).chunk(2)
    fake_given, same_given = back(torch.cat([real, given])).chunk(2)
    state.D.requires_grad_(True)
    rng = np.random.default_rng([settings.seed, state.images_seen])
    real_logits, fake_logits = D_real(real), D_real(pool_real(fake, rng))
    loss = least_squares_discriminator_loss(real_logits, fake_logits)
    loss += least_squares_discriminator_loss(D_given(given), D_given(pool_given(fake_given, rng)))
    figures = {"D(x)": real_logits.detach().mean(), "D(G(z))": fake_logits.detach().mean()}
    figures |= descend("D", loss, state.D, state.optimiser_d)
    state.D.requires_grad_(False)
    # Of the same E (D(G(x)) - 1)^2 D's part is halved there, and G's is not.
    fooled = 2 * (
        least_squares_generator_loss(D_real(fake)) + least_squares_generator_loss(D_given(fake_given))
    )
    cycle = cycle_loss((back(fake), there(fake_given)), (given, real))
    identity = cycle_loss((same_given, same), (given, real))
    objective = fooled + settings.cycle_weight * cycle + settings.identity_weight * identity
    figures |= {"L1": cycle.detach() / 2}
    return figures | descend("G", objective, state.G, state.optimiser_g)


def descend(name: str, loss: Tensor, network: nn.Module, optimiser: Optimizer) -> Figures:
    """name: of the network, in its figures."""
    loss.backward()
    return {f"loss/{name}": loss.detach(), f"gradient/{name}": take_step(network, optimiser)}
