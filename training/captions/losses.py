"""The objectives of Reed et al. 2016, "Generative Adversarial Text to Image Synthesis" (arXiv 1605.05396).

logits: float32 [N], before the sigmoid. All scalars, float32.
"""

import torch.nn.functional as F
from torch import Tensor


def matching_aware_discriminator_loss(real: Tensor, mismatched: Tensor, fake: Tensor) -> Tensor:
    """GAN-CLS, Algorithm 1, line 9, negated: -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2.

    real: of real images and their texts (s_r); mismatched: of real images and texts that do not fit them (s_w); fake: of
    generated images and the texts they were made of (s_f). 2 log 2 where D cannot tell. G descends -log s_f (section 3 of
    Goodfellow et al. 2014, as line 11), on texts and half way between two (GAN-INT, Eq. 5; networks.Encoder).
    """
    return F.softplus(-real).mean() + (F.softplus(mismatched).mean() + F.softplus(fake).mean()) / 2
