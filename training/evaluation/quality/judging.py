"""Training classifiers: judges, each once a data set and kept, and students of generated images."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.data.dataset import Dataset, Indices, Pixels, part_of_each
from training.evaluation.quality.judge import Judge, Network, accuracy, build, to_input
from training.gan.augment import augment

# Part of the key: raise it when a change below would train another judge, or read it otherwise.
_RECIPE = 2
_BATCH = 64
_LR = 2e-3
_WEIGHT_DECAY = 0.02
# A judge that knows images by heart sees them in another place than unseen ones. Over a small data set so many passes at most.
_MAX_PASSES = 40
# By how much its accuracy may be better on the images it was trained on; more is said in the evaluation.
REMEMBERED = 0.01
_AUGMENT = "cutout"
_TURNS = ("upright", "a quarter", "a half", "three quarters")
# Of the classifiers that `usefulness` trains, four passes over 10,000 images: a minute of a core at 28x28.
STUDENT_IMAGES = 40_000

Advance = Callable[[int], None]
"""Is told how many more images are done."""


@dataclass(frozen=True)
class JudgeSettings:
    """What decides a judge, beside the data set."""

    architecture: str = "plain"
    """A name of quality.judge.ARCHITECTURES."""
    seed: int = 0
    """First weights, order of the images, and the half of the training images that it is trained on."""
    images: int = 180_000
    """Length of the training, at most 40 passes over the half; 180,000 take three to five minutes of a core at 28x28."""


# The first is the one whose figures are reported: no choice is made by it. Checkpoints and recipes are chosen by
# `plain`, and what `residual` says has been read often enough to have a part in choices too.
JUDGES = {
    "mixer": JudgeSettings("mixer", seed=2),
    "residual": JudgeSettings("residual", seed=1),
    "plain": JudgeSettings("plain", seed=0),
}


def judges_of(
    names: Sequence[str], images: int | None = None, seed: int | None = None
) -> list[JudgeSettings]:
    """The named judges, with these values changed."""
    changes = {name: value for name, value in (("seed", seed), ("images", images)) if value is not None}
    return [replace(JUDGES[name], **changes) for name in names]


def judge_for(dataset: Dataset, settings: JudgeSettings, cache: Path, advance: Advance) -> Judge:
    """The judge of this data set: read from `cache` if it has been trained before, else trained and kept."""
    path = cache / f"judge-{key(dataset, settings)}.safetensors"
    if judge := _read(path, dataset, settings):
        advance(length(dataset, settings))
        return judge
    judge = fit(dataset, settings, advance)
    _write(path, judge)
    return judge


def length(dataset: Dataset, settings: JudgeSettings) -> int:
    """Images that a judge's training takes."""
    return min(settings.images, _MAX_PASSES * len(halves(dataset.labels, settings.seed)[0]))


def halves(labels: Indices, seed: int) -> tuple[Indices, Indices]:
    """The rows that a judge of this seed is trained on, half of each class, and those that it never sees."""
    seen = part_of_each(labels, seed, lambda count: (count + 1) // 2)
    return np.flatnonzero(seen), np.flatnonzero(~seen)


def key(dataset: Dataset, settings: JudgeSettings) -> str:
    """What the judge depends on, as 16 hex digits and the architecture's name."""
    digest = hashlib.sha256(repr((_RECIPE, settings, dataset.class_names, dataset.images.shape)).encode())
    for array in (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels):
        digest.update(np.ascontiguousarray(array).data)
    return f"{digest.hexdigest()[:16]}-{settings.architecture}"


def fit(dataset: Dataset, settings: JudgeSettings, advance: Advance) -> Judge:
    """Trains a judge on its half of the training images; the held-out ones only measure its accuracy."""
    seen, _ = halves(dataset.labels, settings.seed)
    half = dataset.trained_on(seen)
    if not dataset.has_classes:
        half = Dataset(dataset.name, _TURNS, *turned(half.images), *turned(half.test_images))
    network = trained(half, settings, advance)
    held_out = accuracy(network, half.test_images, half.test_labels)
    return Judge(settings.architecture, accuracy(network, half.images, half.labels), held_out, network)


def told_apart(dataset: Dataset) -> tuple[str, ...]:
    """What a judge learns: the classes; where there is one only, by how many quarter turns an image was turned.

    Gidaris et al. 2018 (arXiv 1803.07728): features of one class would be those of a network that learnt nothing.
    """
    return dataset.class_names if dataset.has_classes else _TURNS


def turned(images: Pixels) -> tuple[Pixels, Indices]:
    """Each fourth image as it is, the others turned; and by how much. images: [N, C, H, H]."""
    found = images.copy()
    for turns in (1, 2, 3):
        found[turns::4] = np.rot90(images[turns::4], turns, axes=(2, 3))
    return found, np.arange(len(images)) % 4


def usefulness(dataset: Dataset, images: Pixels, labels: Indices, longest: int, advance: Advance) -> float:
    """The classification accuracy score: of a classifier trained on these images alone, on real held-out ones.

    Ravuri and Vinyals 2019 (arXiv 1905.10887). images, labels: generated, or real for the floor. longest: images.
    """
    settings = JudgeSettings("plain", seed=0, images=min(longest, STUDENT_IMAGES))
    network = trained(replace(dataset, images=images, labels=labels), settings, advance)
    return accuracy(network, dataset.test_images, dataset.test_labels)


def trained(dataset: Dataset, settings: JudgeSettings, advance: Advance) -> Network:
    """A classifier of the training images.

    AdamW under a one-cycle learning rate; parts of the images are cut out, or it would know them by heart. Where they
    are stays as it is: features should see it. The global random state is left as it was.
    """
    steps = max(1, min(settings.images, _MAX_PASSES * len(dataset.images)) // _BATCH)
    rng = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = build(settings.architecture, dataset.spec)
        optimiser = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_LR, total_steps=steps + 1)
        for k in range(steps):
            rows = dataset.batch_indices(settings.seed, k, _BATCH)
            # What is cut out is 0, which here is made black.
            seen = augment(to_input(dataset.images[rows]) + 1, _AUGMENT, rng) - 1
            loss = F.cross_entropy(network(seen), torch.from_numpy(dataset.labels[rows]))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            advance(_BATCH)
    return network.eval().requires_grad_(False)


def _read(path: Path, dataset: Dataset, settings: JudgeSettings) -> Judge | None:
    """None if there is no judge, or not a whole one: then it is trained anew."""
    network = build(settings.architecture, replace(dataset.spec, class_names=told_apart(dataset)))
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            network.load_state_dict({name: file.get_tensor(name) for name in names})
            told = file.metadata()
            train_accuracy, test_accuracy = float(told["train_accuracy"]), float(told["test_accuracy"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    network.eval().requires_grad_(False)
    return Judge(settings.architecture, train_accuracy, test_accuracy, network)


def _write(path: Path, judge: Judge) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in judge.network.state_dict().items()}
    accuracies = {"train_accuracy": repr(judge.train_accuracy), "test_accuracy": repr(judge.test_accuracy)}
    # A folder of its own, since two processes may train the same judge.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as partial:
        file = Path(partial) / path.name
        save_file(state, file, metadata=accuracies)
        file.replace(path)
