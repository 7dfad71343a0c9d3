"""Constraints on the discriminator: penalties on its gradient with respect to the images, and clipped weights."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from training.processes import own, whole

# ---- Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?" ----------


def r1(logits_of: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E ||grad_x D(x)||^2 over real images (arXiv 1801.04406, Eq. 9, without the factor gamma / 2).

    logits_of: images float32 [N, C, H, W] -> logits float32 [N], row by row.
    Returns a scalar >= 0 that can be differentiated again.
    """
    return image_gradient(logits_of, real).square().sum(dim=(1, 2, 3)).mean()


def r2(logits_of: Callable[[Tensor], Tensor], fake: Tensor) -> Tensor:
    """R1 over generated images, which must need no gradient of G (the same paper's section 4.1, its R_2)."""
    return r1(logits_of, fake)


# ---- Gulrajani et al. 2017, "Improved Training of Wasserstein GANs" (arXiv 1704.00028) -------


def wgan_gp(logits_of: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: Generator) -> Tensor:
    """E (||grad_x D(x)|| - 1)^2 on a random point between each real and generated image (Eq. 3, without lambda).

    rng: a CPU generator. Returns a scalar >= 0 that can be differentiated again.
    """
    share = own(torch.rand(whole(len(real)), 1, 1, 1, generator=rng)).to(real)
    gradient = image_gradient(logits_of, share * real + (1 - share) * fake)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


# ---- Arjovsky et al. 2017, "Wasserstein GAN" (arXiv 1701.07875) ------------------------------


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float) -> None:
    """Every weight to [-limit, limit], after each update (Algorithm 1, line 7): a crude bound on the slope.

    But for the embedded classes: they are input, not slope, and so small they would be lost beside the image.
    """
    for layer in critic.modules():
        if not isinstance(layer, nn.Embedding):
            for weight in layer.parameters(recurse=False):
                weight.clamp_(-limit, limit)


def image_gradient(logits_of: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of each image's logit with respect to that image, [N, C, H, W]."""
    images = images.detach().requires_grad_(True)
    # Rows do not mix in D, so the gradient of the sum holds every row's own gradient.
    (gradient,) = torch.autograd.grad(logits_of(images).sum(), images, create_graph=True)
    return gradient
