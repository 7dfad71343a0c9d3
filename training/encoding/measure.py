"""How near what E finds comes to real pictures that nobody trained on, beside other ways to the same picture."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.generator.quality.statistics import in_class_distances
from training.data.dataset import Dataset, Indices, Pixels
from training.encoding.fit import Target
from training.evaluation.quality.comparison import mean
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.nearest import nearest_training
from training.evaluation.report import with_error

Encode = Callable[[Pixels], tuple[NDArray[np.float32], ...]]
"""uint8 [N, C, H, W] -> z float32 [N, z_dim], and logits [N, K] where there are classes."""
LEARNING_RATE = 0.1
HEAD = ("from", "absolute error", "squared error", "feature distance", "core seconds a picture")
_UNIT_IMAGES = 2000


def measure(
    encode: Encode,
    target: Target,
    dataset: Dataset,
    judge: Judge,
    count: int,
    steps: int,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Figures in JSON types. count: held-out pictures. steps: of Adam. advance: is told how many more of the ways are done."""
    images, labels = held_out(dataset, count)
    seen = judge(images).features
    # How far two real pictures of a class are from each other, on average.
    near, classes = held_out(dataset, _UNIT_IMAGES)
    unit = float(np.mean(list(in_class_distances(judge(near).features, classes).values())))

    def draw(z: NDArray[np.float32], label: Indices) -> Pixels:
        return target.source.forward(z, target.labels(label))

    def way(name: str, find: Callable[[], Pixels]) -> dict[str, Any]:
        begun = time.process_time()
        found = find()
        seconds = (time.process_time() - begun) / len(images)
        apart = found.astype(np.float64) - images
        values = {
            "absolute_error": np.abs(apart).mean(axis=(1, 2, 3)),
            "squared_error": np.square(apart).mean(axis=(1, 2, 3)),
            "feature_distance": np.linalg.norm(judge(found).features - seen, axis=1) / unit,
        }
        advance(1)
        figures = {key: mean(value)._asdict() for key, value in values.items()}
        return {"way": name, **figures, "seconds": seconds}

    z, *logits = encode(images)
    ways = [way("the encoder", lambda: again(encode, target, images))]
    if logits:
        ways.append(way("the encoder, told the class", lambda: draw(encode(images)[0], labels)))
    ways.append(
        way("the nearest training image", lambda: dataset.images[nearest_training(images, dataset.images)[0]])
    )
    if target.gradient is not None:
        for name, start in (("0", np.zeros_like(z)), ("the encoder's z", z)):
            descent = f"Adam from {name}, {steps} steps"
            ways.append(
                way(descent, lambda start=start: draw(descend(target, start, images, labels, steps), labels))
            )
    about = {"dataset": dataset.name, "split": dataset.split, "images": len(images), "ways": ways}
    if logits:
        right = encode(dataset.test_images)[1].argmax(axis=1) == dataset.test_labels
        about["class_accuracy"] = mean(right.astype(np.float64))._asdict()
    eyes = {"judge": judge.architecture, "judge_accuracy": judge.test_accuracy}
    return about | eyes | {"learning_rate": LEARNING_RATE}


def held_out(dataset: Dataset, count: int) -> tuple[Pixels, Indices]:
    """The same ones, and fewer where there are fewer."""
    chosen = np.random.default_rng(0).permutation(len(dataset.test_images))[:count]
    return dataset.test_images[chosen], dataset.test_labels[chosen]


def again(encode: Encode, target: Target, images: Pixels) -> Pixels:
    """What E finds in them, drawn, of the class that E takes each for."""
    z, *logits = encode(images)
    return target.source.forward(z, logits[0].argmax(axis=1) if logits else None)


def descend(
    target: Target, z: NDArray[np.float32], images: Pixels, labels: Indices, steps: int
) -> NDArray[np.float32]:
    """z of each picture after so many steps of Adam on its mean absolute error; each picture is on its own."""
    parts = []
    for i in range(0, len(z), 100):
        found = torch.from_numpy(z[i : i + 100].copy()).requires_grad_()
        want, label = torch.from_numpy(images[i : i + 100]).float(), torch.from_numpy(labels[i : i + 100])
        optimiser = torch.optim.Adam([found], lr=LEARNING_RATE)
        for _ in range(steps):
            error: Tensor = (target.redrawn(found, label) - want).abs().mean(dim=(1, 2, 3)).sum()
            (found.grad,) = torch.autograd.grad(error, found)
            optimiser.step()
        parts.append(found.detach().numpy())
    return np.concatenate(parts)


def rows(quality: dict[str, Any]) -> list[Sequence[str]]:
    """The table of `HEAD`, in text."""
    digits = {"absolute_error": 1, "squared_error": 0, "feature_distance": 3}
    return [
        [one["way"], *(with_error(one[key], n) for key, n in digits.items()), f"{one['seconds']:.2g}"]
        for one in quality["ways"]
    ]


def words(quality: dict[str, Any]) -> str:
    """What the table's figures are."""
    text = (
        f"Of {quality['images']:,} pictures of {quality['dataset']} that nothing was trained on (split: {quality['split']}), in grey "
        f"levels over all pixels, ± one standard error. Feature distances are those of judge '{quality['judge']}' "
        f"({100 * quality['judge_accuracy']:.1f} % right on real ones); 1 is that of two real pictures of a class. Adam (learning rate {quality['learning_rate']}) descends the absolute error"
    )
    if (accuracy := quality.get("class_accuracy")) is None:
        return f"{text}."
    return (
        f"{text}, and is told the class. The encoder names the class of {with_error(accuracy, 1, 0.01)} % "
        f"of {accuracy['images']:,} pictures right."
    )
