"""The networks of 2014: rectified layers and a sigmoid in G, maxout with dropout in D, no convolution.

Goodfellow et al. 2014 (arXiv 1406.2661, section 5; sizes from the authors' published MNIST
configuration, D as it is there, G narrower so that its file stays small). With classes: Mirza and
Osindero 2014 (arXiv 1411.1784, section 4.1), who feed the class to both.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.processes import dropout
from training.settings import ImageSpec, Settings

MAXOUT_UNITS, MAXOUT_PIECES = 240, 5


class Generator(nn.Module):
    """(z, label) -> image; without classes the label is not read."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.shape = (spec.channels, spec.height, spec.width)
        self.embed = nn.Embedding(spec.classes, settings.label_dim) if settings.conditional else None
        condition_dim = settings.z_dim + (settings.label_dim if settings.conditional else 0)
        self.hidden1 = uniform(nn.Linear(condition_dim, settings.width), 0.05)
        self.hidden2 = uniform(nn.Linear(settings.width, settings.width), 0.05)
        self.to_pixels = uniform(nn.Linear(settings.width, math.prod(self.shape)), 0.05)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W] in [-1, 1]."""
        x = z if self.embed is None else torch.cat([z, self.embed(label)], dim=1)
        x = F.relu(self.hidden2(F.relu(self.hidden1(x))))
        # The paper's sigmoid, of pixels from 0 to 1.
        return (2 * torch.sigmoid(self.to_pixels(x).float()) - 1).unflatten(1, self.shape)


class Discriminator(nn.Module):
    """(image, label) -> logit; without classes the label is not read."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.embed = nn.Embedding(spec.classes, settings.label_dim) if settings.conditional else None
        seen = spec.channels * spec.height * spec.width + (settings.label_dim if settings.conditional else 0)
        self.hidden1 = uniform(nn.Linear(seen, MAXOUT_UNITS * MAXOUT_PIECES), 0.005)
        self.hidden2 = uniform(nn.Linear(MAXOUT_UNITS, MAXOUT_UNITS * MAXOUT_PIECES), 0.005)
        self.linear = uniform(nn.Linear(MAXOUT_UNITS, 1), 0.005)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns logits, float32 [N]."""
        x = (image.flatten(1) + 1) / 2
        x = x if self.embed is None else torch.cat([x, self.embed(label)], dim=1)
        x = maxout(self.hidden1(dropout(x, 0.2, self.training)))
        x = maxout(self.hidden2(dropout(x, 0.5, self.training)))
        return self.linear(dropout(x, 0.5, self.training)).float()[:, 0]


def uniform(layer: nn.Linear, limit: float) -> nn.Linear:
    """Weights ~ U(-limit, limit), bias 0."""
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(layer.bias)
    return layer


def maxout(x: Tensor) -> Tensor:
    """The largest of each unit's pieces (Goodfellow et al. 2013, arXiv 1302.4389). x: [N, units * pieces]."""
    return x.unflatten(1, (-1, MAXOUT_PIECES)).amax(dim=2)
