"""What a generator learns from its critic: gradients with respect to a shift, whose right value is known.

The generator is G(z) = theta + z, so that its only weight says how far it is from the data at 0.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from training.gan.losses import (
    discriminator_loss,
    non_saturating_generator_loss,
    saturating_generator_loss,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from training.gan.penalties import wgan_gp
from training.research.theory.divergences import gaussian, integral

DRAWS = 20_000
# The shift of the second half: data in [0, 1], fakes in [2, 3].
APART = 2.0
HIDDEN, BATCH, LEARNING_RATE = 32, 128, 2e-3
# Lambda of Gulrajani et al. 2017.
GP_WEIGHT = 10.0

GeneratorLoss = Callable[[Tensor], Tensor]
Curve = list[tuple[int, float]]
"""(updates of D, |gradient|)"""


def at_optimal_discriminator(loss: GeneratorLoss, shift: float, seed: int) -> tuple[float, float]:
    """d loss / d theta where D = D* of data N(0, 1) and fakes N(shift, 1), on draws of z.

    Returns the gradient and its standard error.
    """
    z = torch.from_numpy(np.random.default_rng(seed).standard_normal(DRAWS))
    theta = torch.full((DRAWS,), shift, dtype=torch.float64, requires_grad=True)
    # log p_data(x) - log p_g(x), which is the logit of D*. D is fixed: `shift` in it is no variable of G.
    logits = shift**2 / 2 - shift * (theta + z)
    # One theta a draw: the mean's gradient is the sum of the parts', whose spread gives the error.
    (parts,) = torch.autograd.grad(loss(logits) * DRAWS, theta)
    return float(parts.mean()), float(parts.std() / DRAWS**0.5)


def expected_gradients(shift: float) -> tuple[float, float]:
    """The same as integrals: shift E_g D*(x) of the saturating loss, shift E_g (1 - D*(x)) of the other.

    Goodfellow et al. 2014, Eq. 1 and section 3, differentiated for this D*.
    """
    p_data, p_g = gaussian(0, 1), gaussian(shift, 1)

    def accepted(x: np.ndarray) -> np.ndarray:
        """p_g(x) D*(x)"""
        real, fake = p_data.pdf(x), p_g.pdf(x)
        return real * fake / (real + fake)

    share = integral(accepted, [p_data, p_g])
    return shift * share, shift * (1 - share)


def vanishing_bound(shift: float) -> float:
    """An upper bound of the saturating gradient: E_g D* <= exp(-shift^2 / 8) / 2, as p q / (p + q) <= sqrt(p q) / 2."""
    return shift * float(np.exp(-(shift**2) / 8)) / 2


@cache
def while_the_critic_learns(seed: int, steps: int, every: int) -> dict[str, Curve]:
    """|d loss / d theta| at a fixed G far from the data, as its discriminator or critic gets better.

    Arjovsky and Bottou 2017 (arXiv 1701.04862), figures 2 and 3, where the truth is known: data uniform
    on [0, 1], fakes on [2, 3]. The Wasserstein distance is theta there, and its gradient 1.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D, critic = network(), network()
    optimisers = [
        torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, betas=(0.0, 0.9)) for net in (D, critic)
    ]
    curves: dict[str, Curve] = {"saturating": [], "non-saturating": [], "Wasserstein": []}
    for step in range(steps + 1):
        real, z = torch.rand(2, BATCH, 1, generator=rng).unbind()
        fake = APART + z
        if step % every == 0:
            measured = (
                gradient(saturating_generator_loss, D, z),
                gradient(non_saturating_generator_loss, D, z),
                gradient(wasserstein_generator_loss, critic, z),
            )
            for curve, found in zip(curves.values(), measured, strict=True):
                curve.append((step, found))
        penalty = wgan_gp(
            lambda images: critic(images.flatten(1)), real[..., None, None], fake[..., None, None], rng
        )
        losses = (
            discriminator_loss(D(real), D(fake)),
            wasserstein_critic_loss(critic(real), critic(fake)) + GP_WEIGHT * penalty,
        )
        for optimiser, loss in zip(optimisers, losses, strict=True):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return curves


def gradient(loss: GeneratorLoss, D: nn.Module, z: Tensor) -> float:
    theta = torch.tensor(APART, requires_grad=True)
    (found,) = torch.autograd.grad(loss(D(theta + z)), theta)
    return abs(float(found))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(1, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, 1),
    )
