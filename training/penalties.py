"""Penalties on the discriminator's gradient with respect to the images."""

from collections.abc import Callable

import torch
from torch import Tensor

# ---- Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?" ----------


def r1(logits_of: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E ||grad_x D(x)||^2 over real images (arXiv 1801.04406, Eq. 9, without the factor gamma / 2).

    logits_of: images float32 [N, C, H, W] -> logits float32 [N], row by row.
    Returns a scalar >= 0 that can be differentiated again.
    """
    real = real.detach().requires_grad_(True)
    # Rows do not mix in D, so the gradient of the sum holds every row's own gradient.
    (gradient,) = torch.autograd.grad(logits_of(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
