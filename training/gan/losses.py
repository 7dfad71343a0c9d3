"""Losses: pure functions of logits, each under the paper and equation that it is.

`logits` is what D returns: float32 [N], or [N, places], finite, the number before a sigmoid where the paper has one.
BEGAN's D returns each image's reconstruction error. A loss is a float32 scalar, a mean over images.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(NamedTuple):
    """What the two networks descend, and what D(x) is in that paper."""

    discriminator: Callable[..., Tensor]
    """Of (real_logits, fake_logits); of BEGAN's k_t as a third, where the loss is `balanced`."""
    generator: Callable[..., Tensor]
    """Of fake_logits; of (real_logits, fake_logits), where the loss is `relativistic`."""
    output: Callable[[Tensor], Tensor] = lambda logits: logits
    """Logits -> D(x), for curves only; they are it where a paper's D ends without a sigmoid."""
    relativistic: bool = False
    balanced: bool = False


# ---- Goodfellow et al. 2014, "Generative Adversarial Nets" (arXiv 1406.2661) -----------------


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus V(D, G) of Eq. 1, -E log D(x) - E log(1 - D(G(z))): >= 0; log 4 where D cannot tell (Theorem 1)."""
    # softplus(-x) is -log sigmoid(x) that does not overflow.
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """E log(1 - D(G(z))), G's part of Eq. 1: flat, so without gradient, where D is sure of every fake."""
    return -F.softplus(fake_logits).mean()


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E log D(G(z)), section 3: its gradient stays strong where D rejects every fake."""
    return F.softplus(-fake_logits).mean()


# ---- Mao et al. 2017, "Least Squares Generative Adversarial Networks" (arXiv 1611.04076) -----


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2, Eq. 9: Eq. 2 with a = 0, the target of fakes, and b = 1, that of real images."""
    return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """E (D(G(z)) - 1)^2 / 2, Eq. 9: Eq. 2 with c = 1, what G wants D to say."""
    return (fake_logits - 1).square().mean() / 2


# ---- Arjovsky et al. 2017, "Wasserstein GAN" (arXiv 1701.07875) ------------------------------


def wasserstein_critic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus E f(x) - E f(G(z)), Eq. 3: minus the Wasserstein distance (times K) for the best K-Lipschitz f."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E f(G(z)), Algorithm 1, line 10."""
    return -fake_logits.mean()


# ---- Lim and Ye 2017, "Geometric GAN" (arXiv 1705.02894); Zhang et al. 2019 (arXiv 1805.08318) ----


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), Zhang et al. Eq. 4. G descends `wasserstein_generator_loss`."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


# ---- Berthelot et al. 2017, "BEGAN" (arXiv 1703.10717) ---------------------------------------


def began_discriminator_loss(real_errors: Tensor, fake_errors: Tensor, k: Tensor) -> Tensor:
    """L(x) - k_t L(G(z)), section 3.4. errors: float32 [N], >= 0. k: scalar, 0 to 1."""
    return real_errors.mean() - k * fake_errors.mean()


def began_generator_loss(fake_errors: Tensor) -> Tensor:
    """L(G(z)), section 3.4."""
    return fake_errors.mean()


def began_balance(k: Tensor, real_error: Tensor, fake_error: Tensor, gamma: float, rate: float) -> Tensor:
    """k_{t+1} = k_t + lambda_k (gamma L(x) - L(G(z))), kept in [0, 1], section 3.4. All scalars; rate: lambda_k."""
    return (k + rate * (gamma * real_error - fake_error)).clamp(0, 1)


def began_convergence(real_error: Tensor, fake_error: Tensor, gamma: float) -> Tensor:
    """M = L(x) + |gamma L(x) - L(G(z))|, section 3.4.1: falls as the pictures get better. Scalars."""
    return real_error + (gamma * real_error - fake_error).abs()


# ---- Jolicoeur-Martineau 2019 (arXiv 1807.00734); Huang et al. 2024, "R3GAN" (arXiv 2501.05441) ----


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E log sigmoid(D(x) - D(G(z))), R3GAN's Eq. 2 with f(t) = -log(1 + e^-t): row i of one with row i of the other."""
    return F.softplus(fake_logits - real_logits).mean()


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The same with the signs turned: G wants its fake above the real image that it is paired with."""
    return F.softplus(real_logits - fake_logits).mean()


# ---- Reed et al. 2016, "Generative Adversarial Text to Image Synthesis" (arXiv 1605.05396) ----


def matching_aware_discriminator_loss(real: Tensor, mismatched: Tensor, fake: Tensor) -> Tensor:
    """GAN-CLS, Algorithm 1, line 9, negated: -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2.

    real: of real images and their texts (s_r); mismatched: of real images and texts that do not fit them (s_w); fake: of
    generated images and the texts they were made of (s_f). 2 log 2 where D cannot tell. G descends -log s_f (line 11).
    """
    return F.softplus(-real).mean() + (F.softplus(mismatched).mean() + F.softplus(fake).mean()) / 2


# ---- Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004) ----


def pix2pix_generator_loss(fake_logits: Tensor, fake: Tensor, real: Tensor, l1_weight: float) -> Tensor:
    """Eq. 4, with -log D in the place of log(1 - D) (section 3.3). l1_weight: lambda, theirs is 100.

    fake_logits: of any shape, one for each patch. fake, real: float32 [N, C, H, W] in [-1, 1]. The best answer to L1 alone
    (Eq. 3) is the median of all that a picture could be, which is blurred.
    """
    return non_saturating_generator_loss(fake_logits) + l1_weight * F.l1_loss(fake, real)


# ---- Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (arXiv 1703.10593) ----


def cycle_loss(found: tuple[Tensor, Tensor], pictures: tuple[Tensor, Tensor]) -> Tensor:
    """E |F(G(x)) - x| + E |G(F(y)) - y|, Eq. 2, of found F(G(x)) and G(F(y)).

    Of F(x) and G(y), which should leave alone what is theirs already, it is the identity loss of section 5.2.
    """
    return F.l1_loss(found[0], pictures[0]) + F.l1_loss(found[1], pictures[1])


# ---- Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs" (arXiv 1610.09585) ----


def class_loss(class_logits: Tensor, label: Tensor) -> Tensor:
    """-E log P(C = c | X), one of the two terms of minus L_C, Eq. 3: D descends it on real and on generated images, G on its own.

    class_logits: float32 [N, K]; label: int64 [N]. Beside it, L_S of Eq. 2 is `discriminator_loss`. In nats: log K by chance.
    """
    return F.cross_entropy(class_logits, label)


# ---- Hou et al. 2022, "Conditional GANs with Auxiliary Discriminative Classifier" (arXiv 2107.10060) ----


def discriminative_class_loss(class_logits: Tensor, label: Tensor) -> Tensor:
    """-E log C(y, real | G(z, y)) + E log C(y, generated | G(z, y)), which G descends, ADC-GAN.

    class_logits: float32 [N, 2 K], those of the K classes of real images and then of generated ones; label: int64 [N]. D descends
    `class_loss` on both kinds, each of its own half: so C tells what is real in a class, and G gains nothing by drawing one picture
    of it that is easy to name.
    """
    generated = label + class_logits.shape[1] // 2
    return class_loss(class_logits, label) - class_loss(class_logits, generated)


# ---- Chen et al. 2016, "InfoGAN" (arXiv 1606.03657) ------------------------------------------


def information_loss(found: Tensor, continuous: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
    """Minus L_I(G, Q) = E log Q(c | G(z, c)) + H(c) of Eq. 5, in two parts; both networks descend lambda times their sum (Eq. 6).

    found: Q's answer, float32 [N, 2 M + K]: means and log standard deviations of M continuous codes, each a Gaussian, and
    logits of the category. continuous: float32 [N, M], uniform in -1 to 1; category: int64 [N].
    Returns that of the continuous codes and that of the category, in nats. L_I is no more than the information that an image
    has of its codes: at most log K of the category, and of a continuous code without a bound, as it may be known ever finer.
    """
    M = continuous.shape[1]
    means, logits = found[:, :M], found[:, 2 * M :]
    # A standard deviation of less than 0.02, of what is 2 wide, would let the gradient grow without bound.
    deviations = found[:, M : 2 * M].clamp(-4, 4)
    density = -((continuous - means) / deviations.exp()).square() / 2 - deviations - math.log(2 * math.pi) / 2
    of_codes = -(density + math.log(2)).sum(dim=1).mean()
    return of_codes, F.cross_entropy(logits, category) - math.log(logits.shape[1])


# ---- Geng et al. 2025, "Mean Flows for One-step Generative Modeling" (arXiv 2505.13447) ------


def mean_flow_target(v: Tensor, change: Tensor, r: Tensor, t: Tensor) -> Tensor:
    """u_tgt = v - (t - r) du/dt, Algorithm 1: what the MeanFlow identity says of the mean velocity between r and t.

    v: the velocity at t; change: du/dt along it, v du/dz + du/dt, both float32 [N, C, H, W]. r, t: float32 [N], r <= t.
    """
    return v - (t - r)[:, None, None, None] * change


def mean_flow_loss(u: Tensor, target: Tensor, constant: float = 1e-3) -> Tensor:
    """sg(w) ||u - u_tgt||^2 with w = 1 / (||u - u_tgt||^2 + c), section 4.3 with p = 1: no image counts more for being hard.

    Its value is all but 1; what falls is the mean square, and its gradient is that of the logarithm.
    """
    squares = (u - target).square().sum(dim=(1, 2, 3))
    return (squares / (squares.detach() + constant)).mean()


FLOW = "mean_flow"
"""The loss that is no game: a network descends `mean_flow_loss`, and there is no other."""

# fmt: off
LOSSES = {
    "minimax":        Loss(discriminator_loss, saturating_generator_loss, torch.sigmoid),
    "non_saturating": Loss(discriminator_loss, non_saturating_generator_loss, torch.sigmoid),
    "least_squares":  Loss(least_squares_discriminator_loss, least_squares_generator_loss),
    "wasserstein":    Loss(wasserstein_critic_loss, wasserstein_generator_loss),
    "hinge":          Loss(hinge_discriminator_loss, wasserstein_generator_loss),
    "began":          Loss(began_discriminator_loss, began_generator_loss, balanced=True),
    "relativistic":   Loss(relativistic_discriminator_loss, relativistic_generator_loss, relativistic=True),
}
# fmt: on
