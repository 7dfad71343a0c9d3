"""The generator's exponential moving average, which is what gets sampled and exported."""

import torch
from torch import nn

from training.gan.draws import latents
from training.settings import ImageSpec, Settings


def decay(settings: Settings, images_seen: int, images: int) -> float:
    """The average's share that stays in an update; 0 at the start: the average begins as a copy.

    Averaging is Karras et al.'s (2018, arXiv 1710.10196, section 4); half-life and ramp are those of EDM's training loop.
    """
    half_life = min(settings.ema_half_life, settings.ema_ramp * images_seen)
    return 0.5 ** (images / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update(average: nn.Module, generator: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * generator, for weights.

    Of the buffers, G's batch norms' statistics fit no average: see `settle_batch_norm`. A spectral norm's vectors are copied:
    they are close to those of the averaged weights, and settling brings them closer; so are the statistics of an encoder, of
    real images, which settling does not see.
    """
    for kept, new in zip(average.parameters(), generator.parameters(), strict=True):
        kept.lerp_(new, 1 - keep)
    vectors = dict(generator.named_buffers())
    for name, kept in average.named_buffers():
        if ".parametrizations." in f".{name}" or name.startswith("encoder."):
            kept.copy_(vectors[name])


@torch.no_grad()
def settle_batch_norm(
    generator: nn.Module,
    settings: Settings,
    spec: ImageSpec,
    images: int = 2048,
    labels: torch.Tensor | None = None,
) -> None:
    """Measure the batch norms' statistics for these very weights, and leave the module in eval mode.

    Averaged weights were never run in training: no running statistics fit them (Brock et al. 2019, section 4.1). The
    latents come from a fixed seed, so that the same weights get the same statistics. labels: what G is told of each of
    these images; by default every class equally often, in turns.
    """
    generator.eval()
    # A forward pass changes nothing but buffers: without any, 2048 images of 128x128 took 13 s of a CPU for nothing.
    if next(generator.buffers(), None) is None:
        return
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    device = next(generator.parameters()).device
    rng = torch.Generator().manual_seed(0)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None is the plain mean over all batches.
        norm.momentum = None
    generator.train()
    labels = torch.arange(images) % spec.classes if labels is None else labels
    for label in labels.split(256):
        z = latents(settings, len(label), rng)
        generator(z.to(device), label.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()
