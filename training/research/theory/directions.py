"""What the best discriminator teaches: of which divergence the generator's gradient is, and where it points."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.special import rel_entr

from training.gan.losses import non_saturating_generator_loss, saturating_generator_loss
from training.research.theory.divergences import Points, gaussian, integral, jensen_shannon
from training.research.theory.gradients import expected_gradients
from training.research.theory.rows import Row, about

SHIFTS = (0.5, 2.0, 4.0)
# Sixteen deviations apart, so that nothing of one is near another.
MODES = (-8.0, 8.0, 24.0)
SLOPE, QUADRATURE, ANGLE = 1e-6, 1e-8, 1e-6
DRAWS = 1000


def directions(seed: int) -> list[Row]:
    rows = []
    for theta in SHIFTS:
        saturating, strong = expected_gradients(theta)
        jsd = slope(shifted_jensen_shannon, theta)
        because = "(θ/2) E D*(G(z)) by quadrature"
        rows += [
            about(f"dJSD/dθ of N(0, 1) and N(θ, 1), θ = {theta:g}", jsd, saturating / 2, SLOPE, because),
            about(
                f"d(KL(p_g ‖ p_data) - 2 JSD)/dθ, θ = {theta:g}",
                slope(lambda x: x**2 / 2 - 2 * shifted_jensen_shannon(x), theta),
                *(strong, SLOPE, "θ E (1 - D*(G(z))), the gradient of -log D*, by quadrature"),
            ),
        ]
    losses = {"saturating": saturating_generator_loss, "non-saturating": non_saturating_generator_loss}
    rows += [
        Row(
            f"least cosine of {DRAWS:,} images' steps with ∇log p_data - ∇log p_g, {name}",
            least_cosine(loss, seed),
            *(1 - ANGLE, 1 + ANGLE, "1; rounding"),
        )
        for name, loss in losses.items()
    ]
    dropped, stray = np.array([0, 1, 0]), np.array([0.45, 0.45, 0.1])
    exact = math.log(2) - 2 * (math.log(2) + math.log(2 / 3) + 2 * math.log(4 / 3)) / 4
    off = 0.9 * math.log(0.9) + 0.1 * (math.log(0.2) + 16**2 / 2)
    off -= math.log(0.5 / 0.475) + 0.9 * math.log(0.45 / 0.475) + 0.1 * math.log(2)
    because = "closed form; quadrature"
    return [
        *rows,
        about(
            "KL(p_g ‖ p_data) - 2 JSD, one of two modes dropped", reverse(dropped), exact, QUADRATURE, because
        ),
        about(
            "the same, both drawn and a tenth of the images off the data",
            reverse(stray),
            off,
            QUADRATURE,
            because,
        ),
    ]


def slope(f: Callable[[float], float], theta: float) -> float:
    return (f(theta + 1e-3) - f(theta - 1e-3)) / 2e-3


def shifted_jensen_shannon(theta: float) -> float:
    return jensen_shannon(gaussian(0, 1), gaussian(theta, 1))


def least_cosine(loss: Callable[[torch.Tensor], torch.Tensor], seed: int) -> float:
    """How well the step that D* teaches each image points to where the data's density gains on the generator's.

    In the plane, p_data = N(0, 1) and p_g = N((1.5, 0.5), diag(0.5, 2)²); the step is minus the loss's gradient.
    """
    mean, deviation = (
        torch.tensor([1.5, 0.5], dtype=torch.float64),
        torch.tensor([0.5, 2.0], dtype=torch.float64),
    )
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((DRAWS, 2)))
    x = (mean + deviation * noise).requires_grad_()
    log_data, log_generated = (
        -(x**2).sum(1) / 2,
        -(((x - mean) / deviation) ** 2).sum(1) / 2 - deviation.log().sum(),
    )
    (gradient,) = torch.autograd.grad(loss(log_data - log_generated), x)
    scores = (x.detach() - mean) / deviation**2 - x.detach()
    return float(torch.cosine_similarity(-gradient, scores, eps=0).min())


def reverse(weights: Points) -> float:
    """KL(p_g || p_data) - 2 JSD, which the gradient of -log D* descends, in nats.

    Arjovsky and Bottou 2017 (arXiv 1701.04862), Theorem 2.5. p_data has the first two of MODES; weights: of all, in p_g.
    """

    def parts(x: Points) -> Points:
        # As logarithms: far from p_data's modes its density is no number any more.
        log_normal = stats.norm.logpdf(x[:, None], MODES, 1)
        log_data = np.logaddexp(log_normal[:, 0], log_normal[:, 1]) - math.log(2)
        data, generated = np.exp(log_data), np.exp(log_normal) @ weights
        middle = (data + generated) / 2
        kl = np.where(generated > 0, generated * (np.log(np.maximum(generated, 1e-300)) - log_data), 0)
        return kl - rel_entr(data, middle) - rel_entr(generated, middle)

    return integral(parts, [gaussian(mode, 1) for mode in MODES])
