"""Pictures of a generator: by address, and the fixed grid that is drawn while it trains."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from training.data.dataset import Pixels, drawn_by
from training.gan.draws import drawn
from training.gan.ema import settle_batch_norm
from training.settings import ImageSpec, Settings

COLUMNS = 10
# Of a data set of more classes, the grid shows the first ones.
MAX_ROWS = 20


def sample(generator: nn.Module, settings: Settings, seeds: Iterable[int], labels: Iterable[int]) -> Pixels:
    """The images at these addresses, uint8 [N, C, H, W]: the service gives the same for the same seed."""
    device = next(generator.parameters()).device
    z = torch.from_numpy(drawn(settings, seeds)).to(device)
    label = torch.tensor(list(labels), device=device)
    return drawn_by(generator, z, label)


def settled(average: nn.Module, settings: Settings, spec: ImageSpec) -> nn.Module:
    """A copy of the average, ready to sample from; the training state stays as it is."""
    generator = copy.deepcopy(average)
    settle_batch_norm(generator, settings, spec, images=512)
    return generator


def class_rows(generator: nn.Module, settings: Settings, spec: ImageSpec) -> Pixels:
    """Seeds 0 to 9 of every class, uint8 [rows, COLUMNS, C, H, W]; of a single class 0 to 99, [1, 100, C, H, W]."""
    rows, columns = min(spec.classes, MAX_ROWS), seeds_a_class(spec)
    seeds = list(range(columns)) * rows
    labels = [row for row in range(rows) for _ in range(columns)]
    images = sample(generator, settings, seeds, labels)
    return images.reshape(rows, columns, *images.shape[1:])


def seeds_a_class(spec: ImageSpec) -> int:
    return COLUMNS if spec.classes > 1 else COLUMNS**2
