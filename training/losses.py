"""Losses: pure functions of logits, each under the paper and equation that it is."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Loss(NamedTuple):
    """What the two networks descend. Logits are float32 [N]; a loss is a float32 scalar in nats."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


# ---- Goodfellow et al. 2014, "Generative Adversarial Nets" (arXiv 1406.2661) -----------------


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus V(D, G) of Eq. 1: -E log D(x) - E log(1 - D(G(z))).

    real_logits, fake_logits: float32 [N], finite.
    Returns a scalar >= 0; log 4 where D cannot tell (Theorem 1).
    """
    # softplus(-x) is -log sigmoid(x) that does not overflow.
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E log D(G(z)), section 3: its gradient stays strong where D rejects every fake."""
    return F.softplus(-fake_logits).mean()


LOSSES = {"non_saturating": Loss(discriminator_loss, non_saturating_generator_loss)}
