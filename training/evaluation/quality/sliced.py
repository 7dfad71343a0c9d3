"""How far apart real and generated images are in small patches, at each scale: coarse structure and fine texture apart."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.dataset import Pixels

# All of the authors': patches of an image and a level, their side, directions, and the side at which the pyramid ends.
PATCHES, SIDE, DIRECTIONS, LAST = 128, 7, 512, 16


def sliced_wasserstein(real: Pixels, fake: Pixels) -> dict[int, float]:
    """Sliced Wasserstein distance of patches from each level of a Laplacian pyramid, by the level's side; lower is nearer.

    Karras et al. 2018 (arXiv 1710.10196), section 5; Rabin et al. 2011, Eq. 12, with the absolute difference in place of its
    square, as the authors' program has it. Patches are normalised by channel, so that 1 is a standard deviation;
    the paper's tables have it times 1000. The draws are always the same.

    real, fake: uint8 [N, C, H, W] and [M, C, H, W], H and W even down to 16; of the longer set the first min(N, M) count.
    """
    count = min(len(real), len(fake))
    found, pair = {}, [torch.from_numpy(images[:count].astype(np.float32)) for images in (real, fake)]
    while True:
        side = pair[0].shape[2]
        smaller = [reduced(images) for images in pair] if side >= 2 * LAST else pair
        last = smaller is pair
        bands = pair if last else [x - enlarged(y) for x, y in zip(pair, smaller, strict=True)]
        found[side] = distance(
            *(patches(band, np.random.default_rng([i, side])) for i, band in enumerate(bands))
        )
        if last:
            return found
        pair = smaller


def distance(x: Tensor, y: Tensor) -> float:
    """Between two sets of as many points, float32 [N, F]: along a random direction it is that of the sorted projections."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((DIRECTIONS, x.shape[1]), np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # NumPy's sort, which is 10 times as fast as torch's: that keeps the places too.
    apart = [
        np.abs(np.sort(some @ x.T.numpy()) - np.sort(some @ y.T.numpy())).mean()
        for some in np.split(directions, DIRECTIONS // 64)
    ]
    return float(np.mean(apart))


def patches(images: Tensor, rng: np.random.Generator) -> Tensor:
    """[N, C, H, W] -> float32 [N * PATCHES, C * SIDE * SIDE], of mean 0 and deviation 1 by channel."""
    N, _, H, W = images.shape
    windows = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    y, x = (torch.from_numpy(rng.integers(0, side - SIDE + 1, (N, PATCHES))) for side in (H, W))
    drawn = windows[torch.arange(N)[:, None], :, y, x].flatten(0, 1)
    mean, deviation = drawn.mean((0, 2, 3), keepdim=True), drawn.std((0, 2, 3), keepdim=True)
    return ((drawn - mean) / deviation.clamp(min=1e-6)).flatten(1)


def blurred(images: Tensor, stride: int = 1) -> Tensor:
    """By the 5x5 binomial kernel of Burt and Adelson 1983."""
    row, channels = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16, images.shape[1]
    kernel = torch.outer(row, row).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), "reflect"), kernel, stride=stride, groups=channels)


def reduced(images: Tensor) -> Tensor:
    return blurred(images, stride=2)


def enlarged(images: Tensor) -> Tensor:
    N, C, H, W = images.shape
    spread = images.new_zeros(N, C, 2 * H, 2 * W)
    spread[:, :, ::2, ::2] = 4 * images
    return blurred(spread)
