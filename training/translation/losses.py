"""The objectives of pix2pix and CycleGAN.

logits: float32 of any shape, finite, one for each patch. fake, real: float32 [N, C, H, W] in [-1, 1]. All scalars, float32.
"""

from torch import Tensor

from training.gan.losses import (
    discriminator_loss,
    least_squares_generator_loss,
    non_saturating_generator_loss,
)

# ---- Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004) ----


def halved_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus half of Eq. 1, which "slows down the rate at which D learns relative to G" (section 3.3); log 2 where D cannot tell."""
    return discriminator_loss(real_logits, fake_logits) / 2


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """E |y - G(x)|, Eq. 3: its best answer is the median of all that a picture could be, which is blurred."""
    return (fake - real).abs().mean()


def generator_loss(fake_logits: Tensor, fake: Tensor, real: Tensor, l1_weight: float) -> Tensor:
    """Eq. 4, with -log D in the place of log(1 - D) (section 3.3). l1_weight: lambda, theirs is 100."""
    return non_saturating_generator_loss(fake_logits) + l1_weight * l1(fake, real)


# ---- Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (arXiv 1703.10593) ----


def least_squares_loss(fake_logits: Tensor) -> Tensor:
    """G's part of Eq. 1 as section 7.1 has it, E (D(G(x)) - 1)^2, not halved; D's part is halved there."""
    return 2 * least_squares_generator_loss(fake_logits)


def cycle_loss(found: tuple[Tensor, Tensor], pictures: tuple[Tensor, Tensor]) -> Tensor:
    """E |F(G(x)) - x| + E |G(F(y)) - y|, Eq. 2, of found F(G(x)) and G(F(y)).

    Of F(x) and G(y), which should leave alone what is theirs already, it is the identity loss of section 5.2.
    """
    return l1(found[0], pictures[0]) + l1(found[1], pictures[1])
