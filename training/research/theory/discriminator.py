"""The discriminator of a fixed generator on the line: what training reaches, and what is optimal."""

import math
from functools import cache

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from training.gan.losses import discriminator_loss
from training.research.theory.divergences import Density, Points, integral

HIDDEN = 8
WEIGHTS = 3 * HIDDEN + 1
# From the data, and as many from the generator.
DRAWS = 10_000
# The share of seeds that stay inside a tolerance.
CERTAINTY = 0.999


def optimal(p_data: Density, p_g: Density, x: Points) -> Points:
    """D*(x) = p_data(x) / (p_data(x) + p_g(x)) (Goodfellow et al. 2014, Proposition 1)."""
    real, fake = p_data.pdf(x), p_g.pdf(x)
    return real / (real + fake)


@cache
def fitted(p_data: Density, p_g: Density, seed: int) -> nn.Module:
    """A small network that descends `discriminator_loss` on draws of both until it gets no better.

    Returns a module: x float64 [N, 1] -> logits [N, 1].
    """
    rng = np.random.default_rng(seed)
    real, fake = (column(density.rvs(DRAWS, rng)) for density in (p_data, p_g))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(1, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1)).double()
    # All draws in every step and a line search: what is left is the draws' error, not the descent's.
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=100, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = discriminator_loss(network(real), network(fake))
        found.backward()
        return found

    optimiser.step(loss)
    return network.requires_grad_(False)


def output(network: nn.Module, x: Points) -> Points:
    """D(x), float64 [N], between 0 and 1."""
    return network(column(x)).sigmoid()[:, 0].numpy()


def distance_to_optimal(network: nn.Module, p_data: Density, p_g: Density) -> float:
    """Root mean square of D - D* over draws of which half are real: 0 is optimal, 1/2 a coin's worst."""

    def integrand(x: Points) -> Points:
        weight = (p_data.pdf(x) + p_g.pdf(x)) / 2
        return weight * (output(network, x) - optimal(p_data, p_g, x)) ** 2

    return math.sqrt(integral(integrand, [p_data, p_g]))


def value(network: nn.Module, p_data: Density, p_g: Density) -> float:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))) (Goodfellow et al. 2014, Eq. 1), the integral itself."""

    def integrand(x: Points) -> Points:
        logits = network(column(x))[:, 0]
        log_real, log_fake = (nn.functional.logsigmoid(sign * logits).numpy() for sign in (1, -1))
        return p_data.pdf(x) * log_real + p_g.pdf(x) * log_fake

    return integral(integrand, [p_data, p_g])


def value_on_draws(
    network: nn.Module, p_data: Density, p_g: Density, rng: np.random.Generator
) -> tuple[float, float]:
    """The same as a mean over new draws, and its standard error."""
    logs = [
        nn.functional.logsigmoid(sign * network(column(density.rvs(DRAWS, rng))))[:, 0].numpy()
        for density, sign in ((p_data, 1), (p_g, -1))
    ]
    error = math.sqrt(sum(log.var(ddof=1) / len(log) for log in logs))
    return float(sum(log.mean() for log in logs)), error


def shortfall() -> float:
    """How far below its maximum V may stay, in nats, because D has seen so many draws and no more.

    Of a best fit with w weights to N draws, 2 N times the excess in log-likelihood a draw follows
    chi-squared with w degrees of freedom (Wilks 1938); V is twice the mean log-likelihood.
    """
    return float(stats.chi2.ppf(CERTAINTY, WEIGHTS)) / (2 * DRAWS)


def distance_tolerance() -> float:
    """How far from D* that lets D be: the excess is the mean of KL(D* || D) >= 2 (D* - D)^2 (Pinsker)."""
    return math.sqrt(shortfall() / 4)


def column(x: Points) -> Tensor:
    return torch.from_numpy(np.asarray(x, np.float64)).reshape(-1, 1)
