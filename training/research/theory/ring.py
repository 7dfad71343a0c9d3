"""A ring of eight Gaussians: which losses make a generator reach all eight, and when it reaches two.

The densities of Metz et al. 2017 (arXiv 1611.02163, figure 2), of a size at which a run takes seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.losses import LOSSES
from training.gan.penalties import clip_weights, r1, r2, wgan_gp

MODES, RADIUS, DEVIATION = 8, 1.0, 0.1
SAMPLES = 2000
# Of such a Gaussian's own draws 98.9 % are as near to its centre.
NEAR = 3 * DEVIATION
# Samples that make a mode reached: a fifth of its share. Of the data's own draws a mode has 247 +- 15.
FEWEST = SAMPLES // MODES // 5

WIDTH, Z_DIM, BATCH = 64, 2, 128
# Adam's, for all recipes alike.
LEARNING_RATE, BETAS = 3e-3, (0.0, 0.99)


@dataclass(frozen=True)
class Recipe:
    """What a run descends: a row of LOSSES, and what bounds the slope of D."""

    loss: str
    weight_clip: float = 0.0
    gp_weight: float = 0.0
    r1_gamma: float = 0.0
    r2_gamma: float = 0.0


# fmt: off
RECIPES = {
    "minimax":              Recipe("minimax"),
    "non-saturating":       Recipe("non_saturating"),
    "least squares":        Recipe("least_squares"),
    "hinge":                Recipe("hinge"),
    "Wasserstein, clipped": Recipe("wasserstein", weight_clip=0.1),
    "Wasserstein, GP":      Recipe("wasserstein", gp_weight=0.1),
    "non-saturating, R1":   Recipe("non_saturating", r1_gamma=0.02),
    "relativistic, R1, R2": Recipe("relativistic", r1_gamma=0.02, r2_gamma=0.02),
}
# fmt: on


@dataclass(frozen=True)
class Pace:
    """D's learning rate over G's, and D's updates for each of G's."""

    lr_ratio: float
    d_steps: int


KEEPS_UP, FALLS_BEHIND, CATCHES_UP = Pace(1.0, 1), Pace(0.1, 1), Pace(0.1, 5)


class Networks(nn.Module):
    """One multilayer perceptron a seed, side by side: as fast as one, and none knows of the others."""

    def __init__(self, sizes: Sequence[int], draws: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(sizes):
            # He et al. 2015, save for the last layer, which no activation follows.
            std = math.sqrt((2 if fan_out != sizes[-1] else 1) / fan_in)
            self.weights.append(
                torch.stack([std * torch.randn(fan_in, fan_out, generator=rng) for rng in draws])
            )
            self.biases.append(torch.zeros(len(draws), 1, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [seeds, N, sizes[0]]. Returns [seeds, N, sizes[-1]]."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, F.leaky_relu(x, 0.2) if layer else x, weight)
        return x


def trained(recipe: Recipe, pace: Pace, steps: int, seeds: Sequence[int]) -> Tensor:
    """Points of the generators after so many updates of G: float32 [seeds, SAMPLES, 2]."""
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    shares = torch.Generator().manual_seed(seeds[0])
    G, D = Networks([Z_DIM, WIDTH, WIDTH, 2], draws), Networks([2, WIDTH, WIDTH, 1], draws)
    optimiser_g, optimiser_d = (
        torch.optim.Adam(network.parameters(), lr=lr, betas=BETAS, fused=True)
        for network, lr in ((G, LEARNING_RATE), (D, pace.lr_ratio * LEARNING_RATE))
    )
    loss = LOSSES[recipe.loss]

    def logits_of(images: Tensor) -> Tensor:
        """All seeds' points as losses.py and penalties.py want them: [N, 2, 1, 1] -> [N]."""
        return D(images.reshape(len(seeds), -1, 2)).flatten()

    for _ in range(steps):
        for _ in range(pace.d_steps):
            with torch.no_grad():
                fake = as_images(G(latents(BATCH, draws)))
            real = as_images(ring(BATCH, draws))
            objective = loss.discriminator(logits_of(real), logits_of(fake))
            if recipe.r1_gamma > 0:
                objective = objective + recipe.r1_gamma / 2 * r1(logits_of, real)
            if recipe.r2_gamma > 0:
                objective = objective + recipe.r2_gamma / 2 * r2(logits_of, fake)
            if recipe.gp_weight > 0:
                objective = objective + recipe.gp_weight * wgan_gp(logits_of, real, fake, shares)
            descend(optimiser_d, objective * len(seeds))
            if recipe.weight_clip > 0:
                clip_weights(D, recipe.weight_clip)
        D.requires_grad_(False)
        real_logits = (logits_of(as_images(ring(BATCH, draws))),) if loss.relativistic else ()
        fake_logits = logits_of(as_images(G(latents(BATCH, draws))))
        descend(optimiser_g, loss.generator(*real_logits, fake_logits) * len(seeds))
        D.requires_grad_(True)
    with torch.no_grad():
        return G(latents(SAMPLES, draws))


def descend(optimiser: torch.optim.Optimizer, objective: Tensor) -> None:
    """objective: the sum of the seeds' losses, of which each has its own weights' gradient."""
    optimiser.zero_grad()
    objective.backward()
    optimiser.step()


def latents(count: int, draws: Sequence[torch.Generator]) -> Tensor:
    return torch.stack([torch.randn(count, Z_DIM, generator=rng) for rng in draws])


def as_images(points: Tensor) -> Tensor:
    return points.reshape(-1, 2, 1, 1)


def centres() -> Tensor:
    """float32 [MODES, 2]"""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring(count: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Draws of the data: float32 [seeds, count, 2]."""
    modes = torch.stack([torch.randint(MODES, (count,), generator=rng) for rng in draws])
    noise = torch.stack([torch.randn(count, 2, generator=rng) for rng in draws])
    return centres()[modes] + DEVIATION * noise


@dataclass(frozen=True)
class Reached:
    """modes: 0 to 8. near: the share of samples within three deviations of a mode, 0.989 in the data."""

    modes: int
    near: float


def reached(points: Tensor) -> Reached:
    """points: float32 [SAMPLES, 2]."""
    distance, mode = torch.cdist(points, centres()).min(dim=1)
    counts = torch.bincount(mode[distance < NEAR], minlength=MODES)
    return Reached(int((counts >= FEWEST).sum()), float((distance < NEAR).float().mean()))
