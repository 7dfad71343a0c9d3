"""What MeanFlow's network says of the way from an image to its noise, and what it should say (Geng et al. 2025, Algorithm 1)."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from training.gan.losses import mean_flow_target

Velocity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""u(z, r, t, label): the mean velocity from r to t of what is at z at t, float32 [N, C, H, W]."""


def mean_flow(
    u: Velocity, x: Tensor, e: Tensor, r: Tensor, t: Tensor, label: Tensor
) -> tuple[Tensor, Tensor]:
    """u at z_t = (1 - t) x + t e, and its target, which has no gradient.

    x, e: image and noise, float32 [N, C, H, W]. r, t: float32 [N], 0 <= r <= t <= 1. label: int64 [N].
    """
    v = e - x
    z = x + t[:, None, None, None] * v
    target = mean_flow_target(v, velocity_change(u, z, v, r, t, label), r, t)
    return u(z, r, t, label), target


@torch.no_grad()
def velocity_change(u: Velocity, z: Tensor, v: Tensor, r: Tensor, t: Tensor, label: Tensor) -> Tensor:
    """du/dt along v, by forward differentiation, float32 like z; 0 where r = t, since its weight in the target is 0 there."""
    change, apart = torch.zeros_like(z), r < t
    if apart.any():
        at = z[apart], r[apart], t[apart]
        along = v[apart], torch.zeros_like(at[1]), torch.ones_like(at[2])
        with warnings.catch_warnings():
            # The first call loads derivatives that torch still writes in its own deprecated torch.jit.script.
            warnings.simplefilter("ignore", DeprecationWarning)
            change[apart] = torch.func.jvp(lambda z, r, t: u(z, r, t, label[apart]), at, along)[1]
    return change
