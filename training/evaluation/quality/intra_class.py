"""The Fréchet distance within each class."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.quality.frechet import Features, frechet_distance


def intra_class_frechet_distance(
    real: Features, real_labels: NDArray[np.int64], fake: Features, fake_labels: NDArray[np.int64]
) -> float:
    """The mean over classes of the Fréchet distance between a class's real and generated images.

    Miyato and Koyama 2018 (arXiv 1802.05637): "intra FID". It sees what the distance over all
    classes is nearly blind to: classes that are mixed up, or each shrunk to a few images.

    real, fake: [N, F] and [M, F]; labels: [N] and [M], what each should be. Only classes with two images or
    more on both sides count; nan where there is none. Its bias upwards, about F over a class's images, is
    that of as many real images: read it beside their floor.
    """
    distances = [
        frechet_distance(real[real_labels == label], fake[fake_labels == label])
        for label in np.unique(real_labels)
        if min((real_labels == label).sum(), (fake_labels == label).sum()) >= 2
    ]
    return float(np.mean(distances)) if distances else float("nan")
