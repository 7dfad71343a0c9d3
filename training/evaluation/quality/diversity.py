"""How much the images of one class differ from each other: what a collapsed class lacks, however good its one image."""

import numpy as np
import torch

from training.data.dataset import Indices, Pixels

# In each class, as many as Odena et al. take.
PAIRS = 100
# The first three scales' (Wang et al. 2003, section 3.2), as 28 pixels halve to 14 and 7 and no further; divided
# by their sum below.
EXPONENTS = (0.0448, 0.2856, 0.3001)


def in_class_similarity(images: Pixels, labels: Indices) -> float:
    """Mean MS-SSIM of random pairs of one class, averaged over classes: the lower, the more diverse.

    Odena et al. 2017 (AC-GAN, arXiv 1610.09585), section 4.2, with pairs that are always the same. MS-SSIM of
    Wang et al. 2003, with their Gaussian window (11x11, sigma 1.5), but 3 scales; negative terms count as 0.
    images: uint8 [N, C, H, W], H and W >= 28; labels: [N]. Returns 0 (nothing in common) to 1 (a class is one
    image); nan where no class has two images.
    """
    # Imported late: it takes seconds.
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    exponents = tuple(exponent / sum(EXPONENTS) for exponent in EXPONENTS)
    means = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            continue
        rng = np.random.default_rng(0)
        first = rng.integers(len(rows), size=PAIRS)
        second = (first + rng.integers(1, len(rows), size=PAIRS)) % len(rows)
        x, y = (torch.from_numpy(images[rows[side]]).float() for side in (first, second))
        # With a Gaussian window kernel_size is not used; its default refuses 28 pixels.
        means.append(float(ms_ssim(x, y, data_range=255.0, betas=exponents, kernel_size=3)))
    return float(np.mean(means)) if means else float("nan")
