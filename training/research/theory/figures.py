"""Every figure of docs/theory.md: what was measured, and what theory and the sampling error allow."""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from training.gan.losses import non_saturating_generator_loss, saturating_generator_loss
from training.research.documents import number
from training.research.theory import discriminator, gradients
from training.research.theory.directions import directions
from training.research.theory.divergences import (
    Density,
    gaussian,
    jensen_shannon,
    kullback_leibler,
    uniform,
    wasserstein,
)
from training.research.theory.rows import Row, about

SEEDS = (0, 1, 2, 3, 4)
# Standard errors that a mean may be off: 1 seed in 16,000 is further.
ERRORS = 4
QUADRATURE = 1e-8
LOG_2, LOG_4 = math.log(2), math.log(4)
EQUAL = "equal"
PAIRS: dict[str, tuple[Density, Density]] = {
    "N(0, 1) and N(1.5, 1)": (gaussian(0, 1), gaussian(1.5, 1)),
    "N(0, 1) and N(1, 0.5²)": (gaussian(0, 1), gaussian(1, 0.5)),
    EQUAL: (gaussian(0, 1), gaussian(0, 1)),
}
SHIFTS = (0.5, 2.0, 4.0, 8.0)
CRITIC_STEPS, CRITIC_EVERY = 600, 20
# No sampling error says how far Adam has come after so many updates.
VANISHED, SLOPE = 1e-4, (0.7, 1.3)


def optimal_discriminator(seed: int) -> list[Row]:
    tolerance = discriminator.distance_tolerance()
    return [
        Row(
            f"root mean square of D - D*, {name}",
            discriminator.distance_to_optimal(discriminator.fitted(p, q, seed), p, q),
            *(0, tolerance),
            "best fit of 25 weights to 20,000 draws, 99.9 %",
        )
        for name, (p, q) in PAIRS.items()
    ]


def value_at_optimum(seed: int) -> list[Row]:
    rows, shortfall = [], discriminator.shortfall()
    for name, (p, q) in PAIRS.items():
        network, expected = discriminator.fitted(p, q, seed), -LOG_4 + 2 * jensen_shannon(p, q)
        value, error = discriminator.value_on_draws(network, p, q, np.random.default_rng([seed, 1]))
        rows += [
            Row(
                f"V of the trained D, {name}",
                discriminator.value(network, p, q),
                *(expected - shortfall, expected + QUADRATURE),
                f"-log 4 + 2 JSD = {number(expected)} is the maximum; short of it by the fit's error, 99.9 %",
            ),
            Row(
                f"V on 10,000 new draws of both, less -log 4 + 2 JSD, {name}",
                value - expected,
                *(-shortfall - ERRORS * error, ERRORS * error),
                "the same and four standard errors of the mean",
            ),
        ]
    return rows


def divergences(seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    p, q = gaussian(0, 1), gaussian(1, 2)
    # KL(N(m, s^2) || N(n, t^2)) = log(t / s) + (s^2 + (m - n)^2) / (2 t^2) - 1/2
    there, back = math.log(2) + 2 / 8 - 1 / 2, -math.log(2) + 5 / 2 - 1 / 2
    x = p.rvs(10_000, rng)
    ratios = p.logpdf(x) - q.logpdf(x)
    unit, longer, shifted = uniform(0, 1), uniform(0, 2), uniform(0.5, 1)
    pairs = [random_pair(rng) for _ in range(20)]
    distances = [jensen_shannon(*pair) for pair in pairs]
    quadrature = "closed form; quadrature"
    return [
        about("KL(N(0, 1) ‖ N(1, 2²))", kullback_leibler(p, q), there, QUADRATURE, quadrature),
        about("KL(N(1, 2²) ‖ N(0, 1))", kullback_leibler(q, p), back, QUADRATURE, quadrature),
        about(
            "mean of log p/q over 10,000 draws of N(0, 1)",
            float(ratios.mean()),
            *(there, ERRORS * float(ratios.std()) / 100),
            "KL; four standard errors",
        ),
        about("KL(U[0, 1] ‖ U[0, 2])", kullback_leibler(unit, longer), LOG_2, QUADRATURE, quadrature),
        Row(
            "KL(U[0, 2] ‖ U[0, 1])",
            kullback_leibler(longer, unit),
            math.inf,
            math.inf,
            "mass off the support",
        ),
        Row(
            "KL(U[0, 1] ‖ U[0.5, 1.5])",
            kullback_leibler(unit, shifted),
            math.inf,
            math.inf,
            "mass off the support",
        ),
        about("JSD(U[0, 1] ‖ U[0.5, 1.5])", jensen_shannon(unit, shifted), LOG_2 / 2, QUADRATURE, quadrature),
        Row("smallest JSD of 20 random pairs of Gaussians", min(distances), -QUADRATURE, LOG_2, "0 to log 2"),
        Row("largest JSD of them", max(distances), 0, LOG_2 + QUADRATURE, "0 to log 2"),
        Row(
            "largest difference of JSD(p ‖ q) and JSD(q ‖ p)",
            max(abs(jensen_shannon(q, p) - jsd) for (p, q), jsd in zip(pairs, distances, strict=True)),
            *(0, QUADRATURE),
            "symmetric; quadrature",
        ),
    ]


def random_pair(rng: np.random.Generator) -> tuple[Density, Density]:
    """Two Gaussians, equal to far apart."""
    one, other = (gaussian(rng.normal(0, 3), np.exp(rng.normal(0, 1))) for _ in range(2))
    return one, other


def supports_apart(seed: int) -> list[Row]:
    """Two uniform densities of width 1, theta apart (the parallel lines of Arjovsky et al. 2017, Example 1)."""
    rng, rows = np.random.default_rng(seed), []
    for theta in (0.5, 2.0, 4.0):
        apart = theta >= 1
        exact = LOG_2 if apart else theta * LOG_2
        rows += [
            about(
                f"JSD at θ = {theta:g}",
                shifted_by(jensen_shannon, theta),
                exact,
                QUADRATURE,
                "min(θ, 1) log 2",
            ),
            about(
                f"dJSD/dθ at θ = {theta:g}",
                slope(jensen_shannon, theta),
                *(0 if apart else LOG_2, 1e-6),
                "0 apart, log 2 where they overlap; quadrature",
            ),
            about(f"W at θ = {theta:g}", shifted_by(wasserstein, theta), theta, QUADRATURE, "θ; quadrature"),
            about(f"dW/dθ at θ = {theta:g}", slope(wasserstein, theta), 1, 1e-6, "1; quadrature"),
        ]
    count = 10_000
    one, other = rng.random(count), 2 + rng.random(count)
    # E |F_n - F| <= sqrt(F (1 - F) / n), so a sample's own W is pi / 8 over the root of n at most, in the
    # mean; past it by t with probability exp(-2 n t^2), as one draw moves it by 1 / n (McDiarmid 1989).
    tolerance = 2 * (math.pi / 8 + math.sqrt(math.log(1000) / 2)) / math.sqrt(count)
    rows.append(
        about(
            "W between 10,000 draws each at θ = 2",
            float(stats.wasserstein_distance(one, other)),
            *(2, tolerance),
            "θ; distance of a sample from its density, 99.9 %",
        )
    )
    return rows


def shifted_by(distance: Callable[[Density, Density], float], theta: float) -> float:
    return distance(uniform(0, 1), uniform(theta, 1))


def slope(distance: Callable[[Density, Density], float], theta: float) -> float:
    """The derivative in theta, by a central difference."""
    return (shifted_by(distance, theta + 1e-3) - shifted_by(distance, theta - 1e-3)) / 2e-3


def vanishing_gradient(seed: int) -> list[Row]:
    rows = []
    for shift in SHIFTS:
        losses = {"saturating": saturating_generator_loss, "non-saturating": non_saturating_generator_loss}
        for (name, loss), expected in zip(losses.items(), gradients.expected_gradients(shift), strict=True):
            measured, error = gradients.at_optimal_discriminator(loss, shift, seed)
            rows.append(
                about(
                    f"{name}, D = D*, θ = {shift:g}",
                    measured,
                    *(expected, ERRORS * error),
                    f"{number(expected)} by quadrature; four standard errors of 20,000 draws",
                )
            )
    last = {
        name: curve[-1][1]
        for name, curve in gradients.while_the_critic_learns(seed, CRITIC_STEPS, CRITIC_EVERY).items()
    }
    after = f"D after {CRITIC_STEPS} updates, θ = 2"
    return [
        *rows,
        Row(f"saturating, {after}", last["saturating"], 0, VANISHED, "vanishes: a chosen bound"),
        Row(f"non-saturating, {after}", last["non-saturating"], 1, math.inf, "does not: a chosen bound"),
        Row(f"Wasserstein, {after}", last["Wasserstein"], *SLOPE, "1, roughly: a chosen band"),
    ]


SECTIONS: dict[str, Callable[[int], list[Row]]] = {
    "optimal-discriminator": optimal_discriminator,
    "value": value_at_optimum,
    "divergences": divergences,
    "supports-apart": supports_apart,
    "directions": directions,
    "gradients": vanishing_gradient,
}
