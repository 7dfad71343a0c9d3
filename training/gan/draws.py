"""z, as training draws it and as seeds do: standard normal, and at its end the codes of InfoGAN."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.generator import latents as served
from service.generator.file.inputs import Input, space_of
from training.settings import Settings

# As far as Chen et al. 2016 vary a code of -1 to 1, figure 2.
_FARTHEST = 2.0
# Of the times of MeanFlow. Theirs on ImageNet have a deviation of 1, and a quarter apart: so few are near to (0, 1), where
# pictures are drawn, that a run of minutes learns little of it.
_MEAN, _DEVIATION, _APART = -0.4, 2.0, 0.5


def latents(settings: Settings, count: int, rng: torch.Generator) -> Tensor:
    """float32 [count, z_dim]: normal numbers, then `codes` uniform in -1 to 1, then a whole number below `categories`.

    rng: on the CPU, as the result.
    """
    if not settings.categories:
        return torch.randn(count, settings.z_dim, generator=rng)
    z = torch.randn(count, settings.z_dim - settings.codes - 1, generator=rng)
    continuous = 2 * torch.rand(count, settings.codes, generator=rng) - 1
    category = torch.randint(settings.categories, (count, 1), generator=rng).float()
    return torch.cat([z, continuous, category], dim=1)


def flow_times(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """r <= t of MeanFlow (Geng et al. 2025, section 4.3), float32 [count] each, 0 to 1, on the CPU.

    Of two logit-normal draws the smaller and the larger one; r = t but in the first rows, `_APART` of them.
    """
    both = torch.sigmoid(_MEAN + _DEVIATION * torch.randn(2, count, generator=rng))
    (r, t), apart = both.sort(dim=0).values, torch.arange(count) < _APART * count
    return torch.where(apart, r, t), t


def declared(settings: Settings) -> list[Input] | None:
    """What the exported file says of them; None where z is all normal."""
    if not settings.categories:
        return None
    codes = [
        Input(f"c{i}", "code", law="uniform", low=-_FARTHEST, high=_FARTHEST, about="in training -1 to 1")
        for i in range(1, settings.codes + 1)
    ]
    category = Input("category", "code", law="whole", low=0, high=settings.categories - 1)
    return [Input("z", "z", [settings.z_dim - settings.codes - 1]), *codes, category]


def drawn(settings: Settings, seeds: Iterable[int]) -> NDArray[np.float32]:
    """z of each seed, float32 [len(seeds), z_dim], as the service has it."""
    inputs = declared(settings)
    space = None if inputs is None else space_of(inputs)
    return served.latents(seeds, settings.z_dim) if space is None else space.draw(seeds)
