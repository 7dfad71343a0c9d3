"""The objectives of pix2pix: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004).

logits: float32 of any shape, finite, one for each patch. fake, real: float32 [N, C, H, W] in [-1, 1]. All scalars, float32.
"""

from torch import Tensor

from training.gan.losses import discriminator_loss, non_saturating_generator_loss


def halved_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus half of Eq. 1, which "slows down the rate at which D learns relative to G" (section 3.3); log 2 where D cannot tell."""
    return discriminator_loss(real_logits, fake_logits) / 2


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """E |y - G(x)|, Eq. 3: its best answer is the median of all that a picture could be, which is blurred."""
    return (fake - real).abs().mean()


def generator_loss(fake_logits: Tensor, fake: Tensor, real: Tensor, l1_weight: float) -> Tensor:
    """Eq. 4, with -log D in the place of log(1 - D) (section 3.3). l1_weight: lambda, theirs is 100."""
    return non_saturating_generator_loss(fake_logits) + l1_weight * l1(fake, real)
