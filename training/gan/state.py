"""Everything that changes while a run trains."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from training.gan.networks import build_discriminator, build_generator
from training.settings import ImageSpec, Settings

# (weights, learning rate, beta1, beta2) -> optimiser; see settings.py for what the betas are in each.
OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], float, float, float], Optimizer]] = {
    "adam": lambda weights, lr, beta1, beta2: Adam(weights, lr=lr, betas=(beta1, beta2), fused=True),
    "rmsprop": lambda weights, lr, beta1, beta2: RMSprop(weights, lr=lr, alpha=beta2),
    "sgd": lambda weights, lr, beta1, beta2: SGD(weights, lr=lr, momentum=beta1),
}


@dataclass
class State:
    """Both networks, their optimisers, the average, and how far the run is.

    No random state: every draw of an update comes from (seed, images_seen), see step.py.
    """

    G: nn.Module
    D: nn.Module
    average: nn.Module
    optimiser_g: Optimizer
    optimiser_d: Optimizer
    balance: Tensor
    """k_t of BEGAN, a float32 scalar; 0 for ever in other systems."""
    images_seen: int = 0
    low_look: bool = False
    """Whether the last look at the pictures showed a collapse: the second one running counts."""
    rollbacks: int = 0
    """How often the run went back to before a fall; see rollback.py."""


def new_state(
    settings: Settings,
    spec: ImageSpec,
    device: torch.device,
    build: Callable[[], tuple[nn.Module, nn.Module]] | None = None,
) -> State:
    """The state of a run that has seen nothing: its weights are a function of the seed. build: G and D, by default the settings'."""
    # Forked, so that the caller's global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, D = build() if build else (build_generator(settings, spec), build_discriminator(settings, spec))
    # channels_last: 158 images/s against 116 on one AVX2 thread, and what tensor cores and AMX need.
    for network in (G.to(device), D.to(device)):
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    optimiser = OPTIMISERS[settings.optimiser]
    optimiser_g = optimiser(G.parameters(), settings.lr_g, settings.beta1, settings.beta2)
    optimiser_d = optimiser(D.parameters(), settings.lr_d, settings.beta1, settings.beta2)
    average = copy.deepcopy(G).requires_grad_(False)
    return State(G, D, average, optimiser_g, optimiser_d, torch.zeros((), device=device))
