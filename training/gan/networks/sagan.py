"""SAGAN: residual networks with spectral norm and self-attention in both, and a projection discriminator.

Zhang et al. 2019 (arXiv 1805.08318, sections 3 and 4), on this project's residual blocks. Attention
stands at 14x14 or 16x16, "the middle-to-high-level feature maps" of 28 to 128 pixels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.gan.networks.layers import (
    ConditionalBatchNorm,
    ImageConv,
    SelfAttention,
    channels_at,
    conv3x3,
    halvings,
)
from training.gan.networks.residual import falling, rising
from training.settings import ImageSpec, Settings


class Generator(nn.Module):
    """(z, label) -> image: z enters once, the class in every batch norm."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels = halvings(spec)
        self.base = (channels_at(settings, levels), spec.height >> levels, spec.width >> levels)
        self.embed = nn.Embedding(spec.classes, settings.label_dim)
        self.project = nn.Linear(settings.z_dim, math.prod(self.base))
        self.blocks = nn.ModuleList(rising(settings, spec, settings.label_dim))
        self.attention = SelfAttention(channels_at(settings, levels - 1))
        self.last_norm = ConditionalBatchNorm(settings.width, settings.label_dim)
        self.to_full = conv3x3(settings.width, 4 * (settings.width // 2))
        self.to_image = ImageConv(settings.width // 2, spec.channels)
        normalise(self)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W] in [-1, 1]."""
        condition = self.embed(label)
        x = self.project(z).unflatten(1, self.base)
        for index, block in enumerate(self.blocks):
            x = block(x, condition)
            if index == 0:
                x = self.attention(x)
        x = F.relu(self.last_norm(x, condition))
        return self.to_image(F.relu(self.to_full(x)))


class Discriminator(nn.Module):
    """(image, label) -> logit. Projection: Miyato and Koyama 2018 (arXiv 1802.05637), Eq. 3."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels = halvings(spec)
        self.stem = nn.Conv2d(spec.channels, settings.width, 4, stride=2, padding=1)
        self.blocks = nn.ModuleList(falling(settings, spec))
        self.attention = SelfAttention(channels_at(settings, levels - 1))
        last = channels_at(settings, levels + 1)
        self.linear = nn.Linear(last, 1)
        self.embed = spectral_norm(nn.Embedding(spec.classes, last))
        normalise(self)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns logits, float32 [N]."""
        x = self.stem(image)
        for index, block in enumerate(self.blocks):
            if index == len(self.blocks) - 2:
                x = self.attention(x)
            x = block(x)
        # In fp32 also under autocast: a logit is a long sum.
        with torch.autocast(image.device.type, enabled=False):
            features = F.leaky_relu(x.float(), 0.2).sum(dim=(2, 3))
            return self.linear(features)[:, 0] + (features * self.embed(label)).sum(dim=1)


def normalise(network: nn.Module) -> None:
    """Spectral norm (Miyato et al. 2018, arXiv 1802.05957) on every convolution and matrix but the batch norms' scales.

    Weights begin as Glorot and Bengio's: a branch that begins at zero has no spectral norm to divide by.
    """
    scales = {norm.scale_shift for norm in network.modules() if isinstance(norm, ConditionalBatchNorm)}
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer not in scales:
            nn.init.xavier_uniform_(layer.weight)
            spectral_norm(layer)
