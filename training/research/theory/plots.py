"""The pictures of docs/theory.md."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from training.research.documents import save_picture
from training.research.theory import discriminator, gradients
from training.research.theory.divergences import (
    gaussian,
    jensen_shannon,
    kullback_leibler,
    uniform,
    wasserstein,
)
from training.research.theory.figures import CRITIC_EVERY, CRITIC_STEPS, EQUAL, ERRORS, LOG_2, LOG_4, PAIRS
from training.research.theory.ring import RADIUS

# Points of a generator in each panel.
SHOWN = 300
COLOURS = {"saturating": "tab:red", "non-saturating": "tab:blue", "Wasserstein": "tab:green"}


def optimal_discriminator(file: Path, seed: int) -> None:
    pairs = {name: pair for name, pair in PAIRS.items() if name != EQUAL}
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    x = np.linspace(-4, 5, 400)
    for axes, (name, (p, q)) in zip(row(figure, len(pairs)), pairs.items(), strict=True):
        axes.fill_between(x, p.pdf(x), alpha=0.3, label="p_data")
        axes.fill_between(x, q.pdf(x), alpha=0.3, label="p_g")
        axes.plot(x, discriminator.optimal(p, q, x), "k", label="D* = p_data / (p_data + p_g)")
        axes.plot(x, discriminator.output(discriminator.fitted(p, q, seed), x), "r--", label="D trained")
        axes.set(title=name, xlabel="x", ylabel="probability, or density", ylim=(0, 1.05))
        axes.legend(fontsize=7)
    save_picture(figure, file)


def value_at_optimum(file: Path, seed: int) -> None:
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    (axes,) = row(figure, 1)
    p, shifts = gaussian(0, 1), np.linspace(0, 6, 61)
    axes.plot(
        shifts,
        [-LOG_4 + 2 * jensen_shannon(p, gaussian(shift, 1)) for shift in shifts],
        "k",
        label="-log 4 + 2 JSD",
    )
    for shift in (0, 1, 2, 3, 4):
        q = gaussian(shift, 1)
        found = discriminator.value_on_draws(
            discriminator.fitted(p, q, seed), p, q, np.random.default_rng(seed)
        )
        label = "V of a trained D, on new draws" if shift == 0 else None
        axes.errorbar(shift, found[0], ERRORS * found[1], fmt="r.", capsize=3, label=label)
    for height, name in ((-LOG_4, "-log 4: D = 1/2"), (0, "0: D is never wrong")):
        axes.axhline(height, color="grey", lw=0.7)
        axes.annotate(
            name, (3.2, height), xytext=(0, 3), textcoords="offset points", fontsize=7, color="grey"
        )
    axes.set(title="Data N(0, 1), generator N(θ, 1)", xlabel="θ", ylabel="V(D, G), nats", ylim=(-1.5, 0.15))
    axes.legend(fontsize=7, loc="center right")
    save_picture(figure, file)


def divergences(file: Path) -> None:
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    (axes,) = row(figure, 1)
    p, means = gaussian(0, 1), np.linspace(-4, 4, 81)
    others = [gaussian(mean, 2) for mean in means]
    axes.plot(means, [kullback_leibler(p, q) for q in others], label="KL(p ‖ q)")
    axes.plot(means, [kullback_leibler(q, p) for q in others], label="KL(q ‖ p)")
    axes.plot(means, [jensen_shannon(p, q) for q in others], "k", label="JSD(p ‖ q)")
    axes.axhline(LOG_2, color="grey", lw=0.7)
    axes.annotate("log 2", (-4, LOG_2), xytext=(0, 3), textcoords="offset points", fontsize=7, color="grey")
    axes.set(title="p = N(0, 1), q = N(θ, 2²)", xlabel="θ", ylabel="nats", ylim=(0, 5))
    axes.legend(fontsize=7)
    save_picture(figure, file)


def supports_apart(file: Path) -> None:
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    (axes,) = row(figure, 1)
    p, thetas = uniform(0, 1), np.linspace(0, 4, 81)
    others = [uniform(theta, 1) for theta in thetas]
    axes.plot(
        thetas, [wasserstein(p, q) for q in others], color=COLOURS["Wasserstein"], label="W, in units of x"
    )
    axes.plot(thetas, [jensen_shannon(p, q) for q in others], "k", label="JSD, nats: flat from 1 on")
    axes.plot(0, 0, "o", color="tab:purple", label="KL(p ‖ q), nats: 0 at θ = 0, else ∞")
    axes.set(title="p uniform on [0, 1], q on [θ, 1 + θ]", xlabel="θ", ylabel="distance from p to q")
    axes.legend(fontsize=7)
    save_picture(figure, file)


def vanishing_gradient(file: Path, seeds: tuple[int, ...]) -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = row(figure, 2)
    shifts = np.linspace(0.05, 8, 80)
    for name, values in zip(
        COLOURS, np.array([gradients.expected_gradients(s) for s in shifts]).T, strict=False
    ):
        left.semilogy(shifts, values, color=COLOURS[name], label=name)
    left.axhline(1, color=COLOURS["Wasserstein"], label="Wasserstein")
    left.set(title="The best D. Data N(0, 1), G(z) = θ + z", xlabel="θ", ylabel="|d loss / dθ|")
    left.legend(fontsize=7)
    for seed in seeds:
        for name, curve in gradients.while_the_critic_learns(seed, CRITIC_STEPS, CRITIC_EVERY).items():
            label = name if seed == seeds[0] else None
            right.semilogy(*zip(*curve, strict=True), color=COLOURS[name], lw=0.8, label=label)
    right.set(
        title="D in training. Data on [0, 1], fakes on [2, 3]",
        xlabel=f"updates of D at the same G ({len(seeds)} seeds)",
        ylabel="|d loss / dθ|",
        ylim=(1e-10, 1e3),
    )
    right.legend(fontsize=7)
    save_picture(figure, file)


def ring(file: Path, data: Tensor, points: dict[str, dict[str, Tensor]]) -> None:
    """data: the ring's own draws, [N, 2]. points: by pace and recipe, each [N, 2]."""
    recipes = list(next(iter(points.values())))
    figure = Figure(figsize=(1.35 * len(recipes), 1.5 * len(points)), layout="constrained")
    grid = figure.subplots(len(points), len(recipes), sharex=True, sharey=True, squeeze=False)
    for across, (pace, cells) in zip(grid, points.items(), strict=True):
        for axes, recipe in zip(across, recipes, strict=True):
            axes.plot(*data[:SHOWN].T, ",", color="0.75", rasterized=True)
            axes.plot(*cells[recipe][:SHOWN].T, ".", ms=1.5, color="tab:blue", alpha=0.6)
            axes.set(aspect="equal", xlim=(-1.7 * RADIUS, 1.7 * RADIUS), ylim=(-1.7 * RADIUS, 1.7 * RADIUS))
            axes.set(xticks=[], yticks=[])
        across[0].set_ylabel(pace, fontsize=7)
    for axes, recipe in zip(grid[0], recipes, strict=True):
        axes.set_title(recipe, fontsize=7)
    save_picture(figure, file)


def row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])
