"""The Fréchet distance between two sets of features: plain, without its bias, within each class."""

import numpy as np

from service.generator.quality import statistics
from service.generator.quality.statistics import Features
from training.data.dataset import Indices

# Of the bootstrap; so many know the error to 7 %.
RESAMPLES = 100


def frechet_distance(real: Features, fake: Features) -> float:
    """Fréchet distance of the Gaussians fitted to two sets, the FID when the features are Inception's.

    Heusel et al. 2017 (arXiv 1706.08500), Eq. 6.

    real, fake: [N, F] and [M, F], finite, N and M >= 2. Returns the squared distance, >= 0, in
    squared feature units; it is biased upwards by about F / min(N, M), so compare equal sizes.
    """
    return statistics.frechet_distance(statistics.gaussian(real), statistics.gaussian(fake))


def frechet_infinity(
    real: Features,
    fake: Features,
    real_labels: Indices | None = None,
    fake_labels: Indices | None = None,
    sizes: int = 9,
) -> float:
    """The distance that is left with endlessly many images: its bias, which falls like 1 / n, is taken off.

    Chong and Forsyth 2020 (arXiv 1911.07023): a line in 1 / n through the distances of subsets, read at 0; here of
    both sets, from a fifth of the images to all. Unbiased to the first order, so it may be below 0 where nothing differs.

    real_labels, fake_labels: int64, of sets whose classes come in fixed shares. Their subsets have these shares, too: did the
    counts vary, the smaller ones would be further apart by that, and the line would end as far below the distance as a whole
    set with counts of its own lies above (of real images: -0.018 where 0 is right).
    """
    n, rng = min(len(real), len(fake)), np.random.default_rng(0)
    counts = np.unique(np.linspace(max(2, n // 5), n, sizes).astype(int))
    both = [(real, real_labels), (fake, fake_labels)]
    orders = ([(rows, in_shares(rng, len(rows), labels)) for rows, labels in both] for _ in counts)
    distances = [
        frechet_distance(*(rows[order[:count]] for rows, order in pair))
        for count, pair in zip(counts, orders, strict=True)
    ]
    # Weighted by n: so falls the scatter of a distance.
    return float(np.polyfit(1 / counts, distances, 1, w=counts)[-1]) if len(counts) > 1 else float("nan")


def intra_class_frechet_distance(
    real: Features, real_labels: Indices, fake: Features, fake_labels: Indices
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


def frechet_error(real: Features, fake: Features, labels: Indices | None = None) -> float:
    """One standard error of the distance over draws of the fake set, the real one being fixed: by the bootstrap, Efron 1979.

    labels: of the fake set, int64 [M]; each class is resampled by itself, as its count is the same in every draw. (Counts
    that vary make the error some times as large where little differs.) The resamples depend on these and M alone, so paired sets
    get the same ones.
    """
    rng, classes = np.random.default_rng(0), np.zeros(len(fake), int) if labels is None else labels
    groups = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    rows = (np.concatenate([rng.choice(group, len(group)) for group in groups]) for _ in range(RESAMPLES))
    return float(np.std([frechet_distance(real, fake[drawn]) for drawn in rows], ddof=1))


def in_shares(rng: np.random.Generator, count: int, labels: Indices | None) -> Indices:
    """All rows in random order, every first part of which has the classes in the shares that they have in all."""
    rows = rng.permutation(count)
    if labels is None:
        return rows
    place = np.empty(count)
    for label in np.unique(labels):
        members = np.flatnonzero(labels[rows] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return rows[np.argsort(place, kind="stable")]
