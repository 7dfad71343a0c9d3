"""MeanFlow's network: a small U-Net that says how fast a picture changes on the way from noise, on average between two times.

Like `residual` it computes at half resolution and below. It has no norm, and its residual branches start at zero instead: group
norm took half as long as a convolution, and torch cannot differentiate it forward in channels_last.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import SelfAttention, channels_at, conv1x1, conv3x3, halvings, he, zero
from training.settings import ImageSpec, Settings

# Waves of each time: cosines and sines of t and t - r, of up to 4 full turns in the whole way. Faster ones make du/dt large.
_WAVES = 8


class Generator(nn.Module):
    """(z, label) -> image in one step: z, as many numbers as the image has, is the noise that it comes from."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.shape = (spec.channels, spec.height, spec.width)
        widths = [channels_at(settings, level) for level in range(1, halvings(spec) + 1)]
        condition_dim = settings.label_dim
        self.embed = nn.Embedding(spec.classes, condition_dim)
        self.of_times = nn.Linear(4 * _WAVES, condition_dim)
        self.stem = conv3x3(4 * spec.channels, widths[0])
        self.down = nn.ModuleList(Block(width, condition_dim) for width in widths[:-1])
        # Halved and doubled by moving pixels into channels, and back.
        self.reduce = nn.ModuleList(conv1x1(4 * narrow, wide) for narrow, wide in pairwise(widths))
        self.middle = nn.ModuleList(Block(widths[-1], condition_dim) for _ in range(2))
        self.attention = SelfAttention(widths[-1])
        self.enlarge = nn.ModuleList(conv1x1(wide, 4 * narrow) for wide, narrow in pairwise(widths[::-1]))
        self.up = nn.ModuleList(Block(width, condition_dim) for width in widths[-2::-1])
        self.to_velocity = zero(conv3x3(widths[0], 4 * spec.channels))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, C H W]. label: int64 [N]. Returns float32 [N, C, H, W], about [-1, 1]: z - u(z, 0, 1), Algorithm 2."""
        noise = z.unflatten(1, self.shape)
        # One row for all images: what the graph is told of times is a constant.
        r, t = torch.zeros(1, device=z.device), torch.ones(1, device=z.device)
        return noise - self.velocity(noise, r, t, label)

    def velocity(self, image: Tensor, r: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """u(z_t, r, t) of the class, the mean velocity from r to t.

        image: z_t, float32 [N, C, H, W]. r, t: float32 [N] or [1], 0 to 1. label: int64 [N]. Returns float32 [N, C, H, W].
        """
        condition = F.silu(self.of_times(waves(t, t - r)) + self.embed(label))
        guess, left, scale = (factor[:, None, None, None] for factor in preconditioning(t))
        x, skips = self.stem(F.pixel_unshuffle(scale * image, 2)), []
        for block, reduce in zip(self.down, self.reduce, strict=True):
            x = block(x, condition)
            skips.append(x)
            x = reduce(F.pixel_unshuffle(x, 2))
        x = self.middle[1](self.attention(self.middle[0](x, condition)), condition)
        for block, enlarge in zip(self.up, self.enlarge, strict=True):
            x = block(skips.pop() + F.pixel_shuffle(enlarge(x), 2), condition)
        return guess * image + left * F.pixel_shuffle(self.to_velocity(F.silu(x)), 2).float()


class Block(nn.Module):
    """Two convolutions; the condition scales and shifts between them (FiLM, Perez et al. 2018, arXiv 1709.07871)."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3x3(channels, channels), zero(conv3x3(channels, channels))
        self.scale_shift = he(nn.Linear(condition_dim, 2 * channels), gain=0.5)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, H, W]. condition: [N, condition_dim]."""
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, dim=1)
        return x + self.conv2(F.silu(torch.addcmul(shift, self.conv1(F.silu(x)), scale + 1)))


class Discriminator(nn.Identity):
    """There is none: a flow is learnt from pairs of noise and image."""


def waves(*times: Tensor) -> Tensor:
    """times: float32 [N] each. Returns float32 [N, 2 _WAVES of each]."""
    turns = torch.arange(1, _WAVES + 1, device=times[0].device) * math.pi
    angles = torch.cat([time[:, None] * turns for time in times], dim=1)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def preconditioning(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For x of deviation s = 1/2 the best linear guess of e - x from z_t, over z_t; the deviation of what is left; 1 over z_t's.

    As Karras et al. 2022 (arXiv 2206.00364, section 5) have it for noise: the layers say the rest, and at t = 1 the image itself.
    MeanFlow's paper has none; without it noise stayed in the pictures of a short run.
    """
    s, deviation = 0.5, torch.sqrt((0.5 * (1 - t)).square() + t.square())
    return (t - s**2 * (1 - t)) / deviation.square(), s / deviation, 1 / deviation
