"""Everything that changes while a run trains."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from training.errors import UserError
from training.gan.networks import build_discriminator, build_generator
from training.gan.networks.layers import ConditionalBatchNorm, SelfAttention
from training.settings import ImageSpec, Settings

# (weights, learning rate, beta1, beta2) -> optimiser; see settings.py for what the betas are in each.
OPTIMISERS: dict[str, Callable[[Iterable[Any], float, float, float], Optimizer]] = {
    "adam": lambda weights, lr, beta1, beta2: Adam(weights, lr=lr, betas=(beta1, beta2), fused=True),
    "rmsprop": lambda weights, lr, beta1, beta2: RMSprop(weights, lr=lr, alpha=beta2),
    "sgd": lambda weights, lr, beta1, beta2: SGD(weights, lr=lr, momentum=beta1),
}


# Of no layer of their own, and never frozen but within a block.
BETWEEN = nn.Embedding | SelfAttention | nn.BatchNorm2d | ConditionalBatchNorm


@dataclass(frozen=True)
class Origin:
    """Whose weights a run began with: the run, what it had seen, and the classes that it knew and did not know."""

    run: str
    dataset: str
    images_seen: int
    kept: tuple[str, ...]
    new: tuple[str, ...]


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
    origin: Origin | None = None
    """Of a run that began with another's weights."""


def new_state(
    settings: Settings,
    spec: ImageSpec,
    device: torch.device,
    build: Callable[[], tuple[nn.Module, nn.Module]] | None = None,
) -> State:
    """The state of a run that has seen nothing: its weights are a function of the seed. build: G and D, by default the settings'.

    Frozen layers need no gradient, and no optimiser has them. Raises UserError where no layer would be left.
    """
    # Forked, so that the caller's global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        G, D = build() if build else (build_generator(settings, spec), build_discriminator(settings, spec))
    # channels_last: 158 images/s against 116 on one AVX2 thread, and what tensor cores and AMX need.
    for network in (G.to(device), D.to(device)):
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    freeze(layers(G)[::-1], settings.freeze_g, "freeze_g")
    freeze(layers(D), settings.freeze_d, "freeze_d")
    optimiser = OPTIMISERS[settings.optimiser]
    # As a group: a flow's D has no weights, and optimisers refuse an empty list.
    learning_g, learning_d = (
        [{"params": [weight for weight in network.parameters() if weight.requires_grad]}]
        for network in (G, D)
    )
    optimiser_g = optimiser(learning_g, settings.lr_g, settings.beta1, settings.beta2)
    optimiser_d = optimiser(learning_d, settings.lr_d, settings.beta1, settings.beta2)
    average = copy.deepcopy(G).requires_grad_(False)
    return State(G, D, average, optimiser_g, optimiser_d, torch.zeros((), device=device))


def layers(network: nn.Module) -> list[nn.Module]:
    """From its input on; a residual block is one. What stands around a G or a D (auxiliary.py) is none of them."""
    inner = getattr(network, "G", getattr(network, "D", network))
    nested = (nn.ModuleList, nn.Sequential)
    found = [part for child in inner.children() for part in (child if isinstance(child, nested) else [child])]
    return [part for part in found if not isinstance(part, BETWEEN) and any(True for _ in part.parameters())]


def freeze(from_image: list[nn.Module], count: int, name: str) -> None:
    """Raises UserError where none would be left to learn."""
    if count and count >= len(from_image):
        raise UserError(f"{name} is {count}: the network has {len(from_image)} layers, and one must learn")
    for layer in from_image[:count]:
        layer.requires_grad_(False)
