"""Differentiable augmentation of what the discriminator sees.

Zhao et al. 2020 (arXiv 2006.10738): the same random transformations before D, for real and fake images, in its update and
in the generator's, so that D cannot memorise few images and G does not learn the transformations. With 60,000
images it is not needed; with some thousands it decides.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.processes import own, whole


def augment(images: Tensor, names: str, rng: Generator) -> Tensor:
    """Apply the named augmentations, a comma list of AUGMENTATIONS, each with its own draw for each image.

    images: float32 [N, C, H, W] in [-1, 1]. rng: on the CPU, so that a run's draws do not depend on its device.
    """
    for name in parse(names):
        images = AUGMENTATIONS[name](images, rng)
    return images


def parse(names: str) -> list[str]:
    """The comma list as names. Raises ValueError that names the unknown one and those allowed."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation '{name}': choose from {', '.join(AUGMENTATIONS)}")
    return chosen


def brightness(images: Tensor, rng: Generator) -> Tensor:
    """Add a constant of [-0.5, 0.5]."""
    return images + (uniform(images, rng) - 0.5)


def saturation(images: Tensor, rng: Generator) -> Tensor:
    """Scale the distance from the pixel's grey by [0, 2]; nothing happens to grey images."""
    grey = images.mean(dim=1, keepdim=True)
    return grey + (images - grey) * (2 * uniform(images, rng))


def contrast(images: Tensor, rng: Generator) -> Tensor:
    """Scale the distance from the image's mean by [0.5, 1.5]."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (uniform(images, rng) + 0.5)


def translation(images: Tensor, rng: Generator, ratio: float = 1 / 8) -> Tensor:
    """Shift by up to an eighth of the side, in whole pixels; what comes in is zero."""
    N, _, H, W = images.shape
    reach_y, reach_x = round(H * ratio), round(W * ratio)
    dy = integers(-reach_y, reach_y + 1, images, rng)[:, 0]
    dx = integers(-reach_x, reach_x + 1, images, rng)[:, 0]
    # Out-of-range rows and columns all read the border of zeros around the image.
    y = (torch.arange(H, device=images.device)[None, :, None] + dy + 1).clamp(0, H + 1)
    x = (torch.arange(W, device=images.device)[None, None, :] + dx + 1).clamp(0, W + 1)
    n = torch.arange(N, device=images.device)[:, None, None]
    return F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)[n, y, x].permute(0, 3, 1, 2)


def cutout(images: Tensor, rng: Generator, ratio: float = 1 / 2) -> Tensor:
    """Zero a rectangle of half the side, whose centre is anywhere in the image."""
    H, W = images.shape[2:]
    centre_y = integers(0, H, images, rng)
    centre_x = integers(0, W, images, rng)
    y = torch.arange(H, device=images.device)[None, None, :, None]
    x = torch.arange(W, device=images.device)[None, None, None, :]
    inside = ((y - centre_y).abs() < H * ratio / 2) & ((x - centre_x).abs() < W * ratio / 2)
    return images * ~inside


def flip(images: Tensor, rng: Generator) -> Tensor:
    """Mirror half of the images, left for right; the generator then draws mirrored ones, too."""
    return torch.where(uniform(images, rng) < 0.5, images, images.flip(3))


def uniform(images: Tensor, rng: Generator) -> Tensor:
    """One draw of [0, 1) an image, as [N, 1, 1, 1]."""
    return own(torch.rand(whole(len(images)), 1, 1, 1, generator=rng)).to(images.device)


def integers(low: int, high: int, images: Tensor, rng: Generator) -> Tensor:
    """One of [low, high) an image, as [N, 1, 1, 1]."""
    return own(torch.randint(low, high, (whole(len(images)), 1, 1, 1), generator=rng)).to(images.device)


AUGMENTATIONS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    change.__name__: change for change in (brightness, saturation, contrast, translation, cutout, flip)
}
