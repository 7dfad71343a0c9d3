"""E learns from G and its data set: z from G's own pictures, and to give real ones back.

The latent regressor of Donahue et al. 2017 (arXiv 1605.09782, section 4.1) sees G's pictures alone, and real ones are none.
So real ones go through E and G, and what comes back has its error in pixels and in a classifier's features (Dosovitskiy
and Brox 2016, arXiv 1602.02644), whose gradient G hands on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from service.errors import ContractError
from service.generator.contract import Contract, version
from service.generator.loading import FILE, as_engines_run_it
from training.data.dataset import Dataset
from training.encoding.differentiable import Generator, check_same, differentiable
from training.errors import UserError
from training.evaluation.evaluate import check_match
from training.evaluation.generated import Source, open_model
from training.gan.networks.encoder import Encoder

# Far from those that are golden, and that a person asks for.
FIRST_SEED = 2**40
# G is compared, and E is judged, on so many.
COMPARED = 16
SEES = "plain"
"""The judge that errors in features are of; another one measures what came of it."""


@dataclass(frozen=True)
class Recipe:
    """How E is trained; lengths in images, of G's own and of real ones each."""

    images: int = 100_000
    batch: int = 64
    seed: int = 0
    width: int = 32
    """Channels at half resolution."""
    learning_rate: float = 2e-3
    pixels: float = 5.0
    """Weight of real pictures' mean absolute error, of which 1 is from black to mid-grey; 0: z and classes alone."""
    features: float = 0.0
    """Weight of their squared distance in the features of judge SEES, of which 1 is the variance of real ones."""
    classes: float = 0.1
    """Weight of the cross-entropy of the class."""


@dataclass(frozen=True)
class Target:
    """The generator that pictures are found in. gradient: None where there is none; `why_none` says why."""

    file: Path
    contract: Contract
    version: str
    source: Source
    gradient: Generator | None
    why_none: str = ""

    def labels(self, labels: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return labels if self.contract.classes else None

    def redrawn(self, z: Tensor, labels: Tensor) -> Tensor:
        """float32 [N, C, H, W], grey levels, with a gradient in z, [N, z_dim]."""
        assert self.gradient is not None
        behind = self.contract.with_scalars(np.zeros((1, z.shape[1]), np.float32), None)[:, z.shape[1] :]
        rows = torch.cat([z, torch.from_numpy(behind).expand(len(z), -1)], dim=1)
        return self.gradient(rows, labels if self.contract.classes else None)


def target(path: Path, dataset: Dataset, threads: int) -> Target:
    """Raises UserError: no generator, or one of other pictures or classes than the data set's."""
    file = path / FILE if path.is_dir() else path
    source = open_model(file, "onnxruntime", "fp32", threads)
    check_match(source, dataset)
    content = file.read_bytes()
    try:
        run, contract = as_engines_run_it(content, file.parent)
    except ContractError as error:
        raise UserError(f"{file}: {error}") from error
    if contract.source is not None:
        raise UserError(f"{file}: it draws from pictures; what an encoder finds is z alone")
    z, label = contract.drawn(range(COMPARED)), np.arange(COMPARED) % max(1, contract.class_count)
    label = label if contract.classes else None
    gradient, why = None, ""
    try:
        gradient = differentiable(run)
        check_same(gradient, source.forward(z, label), contract.with_scalars(z, None), label)
    except UserError as error:
        gradient, why = None, str(error)
    return Target(file, contract, version(content), source, gradient, why)


def fit(
    target: Target,
    dataset: Dataset,
    recipe: Recipe,
    advance: Callable[[int, str], None],
    features: nn.Module | None = None,
) -> Encoder:
    """E after so many images. advance: is told how many more are done, and how it goes. features: of float32 [N, C, H, W] in [-1, 1].

    The global random state is left as it was.
    """
    contract, spec = target.contract, dataset.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        classes = contract.class_count if contract.classes else None
        encoder = Encoder(spec, contract.z_dim, classes, recipe.width).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=recipe.learning_rate, fused=True)
    steps = max(2, recipe.images // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps + 1)
    for k in range(steps):
        parts = batch(target, dataset, recipe, k)
        losses = errors(encoder, target, recipe, features, *parts)
        sum(losses.values(), torch.zeros(())).backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        advance(recipe.batch, "  ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items()))
    return encoder.eval().requires_grad_(False)


def batch(target: Target, dataset: Dataset, recipe: Recipe, k: int) -> Sequence[Tensor]:
    """Pictures, of G and then as many real ones, uint8 [2N, C, H, W]; z of the former, [N, z_dim]; labels of both, [2N]."""
    contract, size = target.contract, recipe.batch
    first = FIRST_SEED * (recipe.seed + 1) + k * size
    z = contract.drawn(range(first, first + size))
    rng = np.random.default_rng([recipe.seed, k])
    labels = rng.integers(0, max(1, contract.class_count), size)
    rows = dataset.batch_indices(recipe.seed, k, size)
    images = np.concatenate([target.source.forward(z, target.labels(labels)), dataset.images[rows]])
    return [torch.from_numpy(one) for one in (images, z, np.concatenate([labels, dataset.labels[rows]]))]


def errors(
    encoder: Callable[[Tensor], Sequence[Tensor]],
    target: Target,
    recipe: Recipe,
    features: nn.Module | None,
    images: Tensor,
    z: Tensor,
    labels: Tensor,
) -> dict[str, Tensor]:
    found, *logits = encoder(images.contiguous(memory_format=torch.channels_last))
    own = len(z)
    losses = {"z": F.mse_loss(found[:own], z)}
    if logits:
        losses["class"] = recipe.classes * F.cross_entropy(logits[0], labels)
    if target.gradient is None or not (recipe.pixels or features):
        return losses
    drawn = target.redrawn(found[own:], labels[own:])
    again, real = (one / 127.5 - 1 for one in (drawn, images[own:].float()))
    if recipe.pixels:
        losses["pixels"] = recipe.pixels * F.l1_loss(again, real)
    if features:
        with torch.no_grad():
            wanted = features(real)
        apart = F.mse_loss(features(again), wanted)
        losses["features"] = recipe.features * apart / wanted.var(dim=0).mean()
    return losses
