"""The baseline of few labels: the same network, taught by these labels and nothing else."""

from collections.abc import Iterator

import torch
from torch import nn

from training.classification.learning import learning, logits_of, right, supervised_loss
from training.data.dataset import Dataset, Indices, part_of_each

# At so many moments it may stop.
STOPS = 8
KNOWN, EARLY, END = "K + 1 classes", "the labels alone, stopped early", "the labels alone, to the end"


def alone(dataset: Dataset, rows: Indices, updates: int, seed: int) -> dict[str, float]:
    """The share of the test images that it names right, stopped early and to the end.

    A fifth of the labels says when to stop, and then all are learnt from; no test image has a say.
    """
    stops = [round(updates * i / STOPS) for i in range(1, STOPS + 1)]

    def stopped(rows: Indices) -> Iterator[tuple[int, nn.Module]]:
        ways = enumerate(learning(dataset, rows, alone=True, updates=updates, seed=seed), start=1)
        return ((k, learnt.classifier) for k, learnt in ways if k in stops)

    is_held = part_of_each(dataset.labels[rows], seed, lambda count: max(1, count // 5))
    held, labels = dataset.images[rows[is_held]], torch.from_numpy(dataset.labels[rows[is_held]])
    losses = {k: supervised_loss(logits_of(one, held), labels).item() for k, one in stopped(rows[~is_held])}
    best = min(losses, key=lambda k: losses[k])
    shares = {k: right(one, dataset) for k, one in stopped(rows) if k in (best, updates)}
    return {EARLY: shares[best], END: shares[updates], "stopped_after": best}
