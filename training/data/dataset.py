"""A data set in memory, and its batches."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.settings import ImageSpec

# `prepare` does without its 200 MB.
if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]

SIZES = (28, 32, 64, 128, 256)
"""Sides of the images that the networks make, in pixels."""
UNLABELLED = ("image",)
"""The class of images that have none."""
# The share of each class where the source has no test split of its own: that of Fashion-MNIST's.
HELD_OUT = 1 / 6
A_SIXTH = "a sixth of each class, held out by a fixed seed"


@dataclass
class Dataset:
    """Labelled images, split into those to train on and those held out.

    images, test_images: uint8 [N, C, H, W]. labels, test_labels: int64 [N], indices of class_names.
    """

    name: str
    class_names: tuple[str, ...]
    images: Pixels
    labels: Indices
    test_images: Pixels
    test_labels: Indices
    split: str = "given by the source"
    """How the test images were chosen."""
    notes: tuple[str, ...] = ()
    """What was noticed while they were read, a line per kind."""

    @property
    def spec(self) -> ImageSpec:
        _, channels, height, width = self.images.shape
        return ImageSpec(self.name, channels, height, width, self.class_names)

    @property
    def has_classes(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.class_names) > 1

    def as_one_class(self) -> Dataset:
        """The same images without their labels: for systems that are not told the class."""
        labels, test_labels = map(np.zeros_like, (self.labels, self.test_labels))
        return replace(self, class_names=UNLABELLED, labels=labels, test_labels=test_labels)

    def only(self, class_name: str) -> Dataset:
        """The images of this class, with their labels as they were."""
        label = self.class_names.index(class_name)
        test = self.test_labels == label
        held_out = {"test_images": self.test_images[test], "test_labels": self.test_labels[test]}
        return replace(self.trained_on(self.labels == label), **held_out)

    def trained_on(self, rows: NDArray[np.bool_] | Indices) -> Dataset:
        """With these training images alone."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    @cached_property
    def fingerprint(self) -> int:
        """CRC-32 of the training images and labels, by which a resumed run knows its data."""
        return zlib.crc32(self.labels.tobytes(), zlib.crc32(np.ascontiguousarray(self.images).data))

    def batch_indices(self, seed: int, k: int, size: int) -> Indices:
        """Which images batch k holds: int64 [size], a function of (seed, k) alone.

        The batches cut an endless row of shuffles, so that every image comes once before any
        comes twice, whatever the batch size.
        """
        count = len(self.images)
        positions = np.arange(k * size, (k + 1) * size)
        turns = range(positions[0] // count, positions[-1] // count + 1)
        parts = [shuffle(count, seed, turn)[positions[positions // count == turn] % count] for turn in turns]
        return np.concatenate(parts)


def misfit(height: int, width: int) -> str:
    """Why images of these sides can't be trained on; nothing where they can."""
    if height == width and height in SIZES:
        return ""
    sizes = ", ".join(f"{side}x{side}" for side in SIZES)
    return f"holds images of {width}x{height}; the networks make {sizes}: use `prepare --size N` to crop and scale them all"


# Only the newest is kept: the one before is never read again.
@lru_cache(maxsize=1)
def shuffle(count: int, seed: int, turn: int) -> Indices:
    return np.random.default_rng([seed, turn]).permutation(count)


def held_out(labels: Indices) -> NDArray[np.bool_]:
    """A sixth of each class: the same images whenever the same files are read. labels: [N], >= 0."""
    # A class's only image is trained on.
    return part_of_each(labels, 0, lambda count: min(max(1, round(count * HELD_OUT)), count - 1))


def part_of_each(labels: Indices, seed: int, size: Callable[[int], int]) -> NDArray[np.bool_]:
    """[N]: of each class of so many images as many as `size` says, drawn by the seed."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        mask[members[: size(len(members))]] = True
    return mask


def held_out_and_trained_on(dataset: Dataset) -> str:
    """How many test images are training images too, to the pixel, and one of them; nothing where none is."""
    first = {hash(image.tobytes()): i for i, image in reversed([*enumerate(dataset.images)])}
    twice = [
        (i, first[key])
        for i, image in enumerate(dataset.test_images)
        if (key := hash(image.tobytes())) in first and np.array_equal(image, dataset.images[first[key]])
    ]
    if not twice:
        return ""
    (test, train), total = twice[0], len(dataset.test_images)
    return (
        f"{len(twice):,} of {total:,} test images are trained on, too: they say nothing of the generator "
        f"(test_images[{test}] is images[{train}], of class {dataset.class_names[dataset.labels[train]]})"
    )


def real_batches(
    dataset: Dataset, seed: int, size: int, device: torch.device
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """k -> batch k: (float32 [size, C, H, W] in [-1, 1], int64 [size]) on the device; of several processes its own rows."""
    import torch

    from training.processes import own

    def batch(k: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = own(dataset.batch_indices(seed, k, size))
        images, labels = dataset.images[chosen], dataset.labels[chosen]
        return to_float(images).to(device), torch.from_numpy(labels).to(device)

    return batch


def to_float(images: Pixels) -> torch.Tensor:
    """uint8 0 to 255 -> float32 -1 to 1."""
    import torch

    return torch.from_numpy(images).float().div_(127.5).sub_(1)


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """float32 -1 to 1 -> uint8, rounded and clipped: of exported graphs, too."""
    import torch

    return (images + 1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def drawn_by(generator: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Pixels:
    """Its images, uint8 [N, C, H, W]; a few hundred at a time."""
    import torch

    with torch.no_grad():
        pieces = [generator(*piece) for piece in zip(*(one.split(256) for one in inputs), strict=True)]
    return to_uint8(torch.cat(pieces))


def to_uint8(images: torch.Tensor) -> Pixels:
    return to_levels(images.float()).cpu().numpy()
