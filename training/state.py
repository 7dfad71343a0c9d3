"""Everything that changes while a run trains."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from training.networks import build_discriminator, build_generator
from training.settings import ImageSpec, Settings


@dataclass
class State:
    """Both networks, their optimisers, the average, and how far the run is.

    No random state: every draw of an update comes from (seed, images_seen), see step.py.
    """

    G: nn.Module
    D: nn.Module
    average: nn.Module
    optimiser_g: torch.optim.Adam
    optimiser_d: torch.optim.Adam
    images_seen: int = 0


def new_state(settings: Settings, spec: ImageSpec, device: torch.device) -> State:
    """The state of a run that has seen nothing: its weights are a function of the seed."""
    # Forked, so that the caller's global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G = build_generator(settings, spec)
        D = build_discriminator(settings, spec)
    # channels_last: 158 images/s against 116 on one AVX2 thread, and what tensor cores and AMX need.
    for network in (G.to(device), D.to(device)):
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    betas = (settings.beta1, settings.beta2)
    return State(
        G=G,
        D=D,
        average=copy.deepcopy(G).requires_grad_(False),
        optimiser_g=torch.optim.Adam(G.parameters(), lr=settings.lr_g, betas=betas, fused=True),
        optimiser_d=torch.optim.Adam(D.parameters(), lr=settings.lr_d, betas=betas, fused=True),
    )
