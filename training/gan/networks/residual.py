"""The shipped pair: a cheap residual generator and discriminator for 28 to 128 pixels.

Both keep their convolutions at half resolution and below: the generator ends in a pixel
shuffle and the discriminator begins with a 4x4 convolution of stride 2, because at 28x28 a
layer costs four times what it costs at 14x14 and hardly improves the pictures.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import (
    ConditionalBatchNorm,
    ImageConv,
    SelfAttention,
    UpsampledConv,
    channels_at,
    conv1x1,
    conv3x3,
    halvings,
    he,
    upsample,
    zero,
)
from training.settings import ImageSpec, Settings


class Generator(nn.Module):
    """(z, label) -> image, class-conditional in every batch norm."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels = halvings(spec)
        condition_dim = settings.z_dim + settings.label_dim
        self.base = (channels_at(settings, levels), spec.height >> levels, spec.width >> levels)
        self.embed = nn.Embedding(spec.classes, settings.label_dim)
        self.project = he(nn.Linear(condition_dim, math.prod(self.base)), gain=1.0)
        first = GeneratorBlock(self.base[0], self.base[0], condition_dim, up=False)
        self.blocks = nn.ModuleList([first, *rising(settings, spec, condition_dim)])
        # At the first resolution its cost does not show; at half resolution it was a seventh of training.
        self.attention = SelfAttention(self.base[0]) if settings.attention else nn.Identity()
        self.last_norm = ConditionalBatchNorm(settings.width, condition_dim)
        self.to_full = conv3x3(settings.width, 4 * (settings.width // 2))
        self.to_image = he(ImageConv(settings.width // 2, spec.channels), gain=1.0)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W] in [-1, 1]."""
        condition = torch.cat([z, self.embed(label)], dim=1)
        x = self.project(condition).unflatten(1, self.base)
        for index, block in enumerate(self.blocks):
            x = block(x, condition)
            if index == 0:
                x = self.attention(x)
        x = F.relu(self.last_norm(x, condition))
        return self.to_image(F.relu(self.to_full(x)))


def rising(settings: Settings, spec: ImageSpec, condition_dim: int) -> list[nn.Module]:
    """From the first resolution to half of the image's."""
    widths = [channels_at(settings, level) for level in range(halvings(spec), 0, -1)]
    return [GeneratorBlock(wide, narrow, condition_dim, up=True) for wide, narrow in pairwise(widths)]


def falling(settings: Settings, spec: ImageSpec) -> list[nn.Module]:
    """From half of the image's resolution to half of the first one."""
    widths = [channels_at(settings, level) for level in range(1, halvings(spec) + 2)]
    return [DiscriminatorBlock(narrow, wide, down=True) for narrow, wide in pairwise(widths)]


class GeneratorBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, condition_dim: int, up: bool) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(channels_in, condition_dim)
        self.conv1 = (
            he(UpsampledConv(channels_in, channels_out)) if up else conv3x3(channels_in, channels_out)
        )
        self.norm2 = ConditionalBatchNorm(channels_out, condition_dim)
        self.conv2 = zero(conv3x3(channels_out, channels_out))
        self.skip = conv1x1(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        self.resize = upsample if up else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x, condition)))
        h = self.conv2(F.relu(self.norm2(h, condition)))
        # A 1x1 convolution and a nearest upsampling commute: the cheap order is this one.
        return h + self.resize(self.skip(x))


class Discriminator(nn.Module):
    """(image, label) -> logit, without norm layers, with a projection head.

    Projection: Miyato and Koyama 2018 (arXiv 1802.05637), Eq. 3.
    """

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.stem = he(nn.Conv2d(spec.channels, settings.width, 4, stride=2, padding=1), gain=1.0)
        last = channels_at(settings, halvings(spec) + 1)
        self.blocks = nn.ModuleList([*falling(settings, spec), DiscriminatorBlock(last, last, down=False)])
        self.linear = he(nn.Linear(last, 1), gain=1.0)
        self.embed = nn.Embedding(spec.classes, last)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(last))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns logits, float32 [N]."""
        return self.logits(self.features(image), label)

    def features(self, image: Tensor) -> Tensor:
        """Of the image alone: float32 [N, channels]."""
        x = self.stem(image)
        for block in self.blocks:
            x = block(x)
        # In fp32 also under autocast: a logit is a long sum, and R1 differentiates it twice.
        with torch.autocast(image.device.type, enabled=False):
            # Summed and divided by the side: the variance of one position, whatever the resolution.
            return F.leaky_relu(x.float(), 0.2).sum(dim=(2, 3)) / math.sqrt(x.shape[2] * x.shape[3])

    def logits(self, features: Tensor, label: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.linear(features)[:, 0] + (features * self.embed(label)).sum(dim=1)


class DiscriminatorBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, down: bool) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels_in)
        # The stride is in the second convolution, which then costs a quarter.
        self.conv2 = zero(conv3x3(channels_in, channels_out, stride=2 if down else 1))
        self.skip = conv1x1(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        # An odd side is rounded up, as the convolution with its padding does.
        self.resize = nn.AvgPool2d(2, ceil_mode=True) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(x, 0.2))
        h = self.conv2(F.leaky_relu(h, 0.2))
        return h + self.skip(self.resize(x))
