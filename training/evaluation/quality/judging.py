"""Training a judge, once a data set, and keeping it."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.data.dataset import Dataset
from training.evaluation.quality.judge import Judge, build, to_input

# Part of the key: raise it when a change below would train another judge, or read it otherwise.
_RECIPE = 1
_BATCH = 64
_LR = 2e-3
_WEIGHT_DECAY = 0.02
# Over a small data set: a judge that knows its training images by heart sees a floor that is too high.
_MAX_PASSES = 40


@dataclass(frozen=True)
class JudgeSettings:
    """What decides a judge, beside the data set."""

    architecture: str = "plain"
    """A name of quality.judge.ARCHITECTURES."""
    seed: int = 0
    """First weights and order of the images."""
    images: int = 360_000
    """Length of the training, at most 40 passes over the data; 360,000 take five minutes of a core at 28x28."""


JUDGES = {"plain": JudgeSettings("plain", seed=0), "residual": JudgeSettings("residual", seed=1)}


def judges_of(
    names: Sequence[str], images: int | None = None, seed: int | None = None
) -> list[JudgeSettings]:
    """The named judges, with these values changed."""
    changes = {name: value for name, value in (("seed", seed), ("images", images)) if value is not None}
    return [replace(JUDGES[name], **changes) for name in names]


def judge_for(
    dataset: Dataset, settings: JudgeSettings, cache: Path, advance: Callable[[int], None]
) -> Judge:
    """The judge of this data set: read from `cache` if it has been trained before, else trained and kept.

    advance is called with the number of images that training went on by.
    """
    path = cache / f"judge-{key(dataset, settings)}.safetensors"
    judge = _read(path, dataset, settings)
    if judge is None:
        judge = fit(dataset, settings, advance)
        _write(path, judge)
    else:
        advance(length(dataset, settings))
    return judge


def length(dataset: Dataset, settings: JudgeSettings) -> int:
    """Images that a judge's training takes."""
    return min(settings.images, _MAX_PASSES * len(dataset.images))


def key(dataset: Dataset, settings: JudgeSettings) -> str:
    """What the judge depends on, as 16 hex digits and the architecture's name."""
    digest = hashlib.sha256(repr((_RECIPE, settings, dataset.class_names, dataset.images.shape)).encode())
    for array in (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels):
        digest.update(np.ascontiguousarray(array).data)
    return f"{digest.hexdigest()[:16]}-{settings.architecture}"


def fit(dataset: Dataset, settings: JudgeSettings, advance: Callable[[int], None]) -> Judge:
    """Trains a judge on the training images alone; the held-out ones only measure its accuracy.

    AdamW under a one-cycle learning rate; the images as they are, so that features see what is there.
    The global random state is left as it was.
    """
    steps = max(1, length(dataset, settings) // _BATCH)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = build(settings.architecture, dataset.spec)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimiser = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_LR, total_steps=steps + 1)
        for k in range(steps):
            rows = dataset.batch_indices(settings.seed, k, _BATCH)
            loss = F.cross_entropy(
                network(to_input(dataset.images[rows])), torch.from_numpy(dataset.labels[rows])
            )
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            advance(_BATCH)
    network.eval().requires_grad_(False)
    judge = Judge(settings.architecture, settings.seed, float("nan"), network)
    accuracy = (judge(dataset.test_images).probabilities.argmax(axis=1) == dataset.test_labels).mean()
    return Judge(settings.architecture, settings.seed, float(accuracy), network)


def _read(path: Path, dataset: Dataset, settings: JudgeSettings) -> Judge | None:
    """None if there is no judge, or not a whole one: then it is trained anew."""
    network = build(settings.architecture, dataset.spec)
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            network.load_state_dict({name: file.get_tensor(name) for name in names})
            accuracy = float(file.metadata()["test_accuracy"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Judge(settings.architecture, settings.seed, accuracy, network.eval().requires_grad_(False))


def _write(path: Path, judge: Judge) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in judge.network.state_dict().items()}
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        save_file(state, partial, metadata={"test_accuracy": repr(judge.test_accuracy)})
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
