"""Has the generator memorised its training images?"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from training.data.dataset import Indices, Pixels


def nearest_training(images: Pixels, training: Pixels) -> tuple[Indices, NDArray[np.float64]]:
    """Which training image is most like each image, int64 [N], and how far it is, float64 [N].

    The test of memorisation of Goodfellow et al. 2014 (section 5) in figures: a generator that copies is nearer to
    its training images than unseen real images are.

    images: uint8 [N, C, H, W]; training: uint8 [M, C, H, W]. A distance is the root of the mean squared difference
    over all pixels, in grey levels, 0 to 255.
    """
    flat, flat_training = (array.reshape(len(array), -1).astype(np.float32) for array in (images, training))
    rows, distances = pairwise_distances_argmin_min(flat, flat_training)
    return np.asarray(rows, np.int64), np.asarray(distances, np.float64) / np.sqrt(flat.shape[1])
