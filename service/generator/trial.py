"""What a file does on the engine that will serve it: an image must be a function of its (z, label) alone.

Whatever wrote the file, whatever the engine: the same (z, label) is drawn alone, at every place of batches of
several sizes and beside others, by every forward pass that will serve; each class is drawn; and so is z scaled.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.errors import EVAL, IMPORT, ContractError
from service.generator import golden, reference
from service.generator.contract import Contract
from service.generator.engine import Engine, Forward
from service.generator.file import graph
from service.generator.file.apart import taken_apart
from service.generator.file.named import chosen_by_name
from service.generator.reference import Batch

SECONDS = 0.05
"""After which nothing is tried again: every forward pass has drawn every size once, however long that took."""
CLASSES_SECONDS = 2.0
"""After which no further classes are drawn."""
SIZES = (1, 2, 3, 5)
MOST_CLASSES = 512
_IMAGES = 8  # that are drawn alone, for the batches to be compared with
_ROUNDS = 8
_SCALES = {2: 10.0, 5: 0.1}  # outliers, by their place among those: a batch that shares a scale shows it


class Findings(Struct, frozen=True):
    """What a file was found to do. levels: most by which an image differed, in a batch and alone; 0: not a bit.

    sizes: of the batches tried; images: drawn in all; truncation: whether it changes anything.
    """

    levels: int
    images: int
    sizes: list[int]
    classes: int
    truncation: bool
    seconds: float

    def __str__(self) -> str:
        exact = f"the same within {self.levels} levels" if self.levels else "the same bytes"
        sizes = f"in batches of {len(self.sizes)} sizes up to {self.sizes[-1]}"
        return f"{exact} alone and {sizes} ({self.images} images in {self.seconds:.2f} s)"


def judge(file: bytes, contract: Contract, engine: Engine, max_batch: int) -> Findings:
    """Draw on every path that requests will take. max_batch: the largest batch that they will meet.

    A quick file takes SECONDS, a slow one as long as what must be: some 30 images, per forward pass of the engine
    one batch of each size, and CLASSES_SECONDS of classes. Raises ContractError, with the reason.
    """
    trial = _Trial(contract, engine, max_batch)
    alone = trial.draw_alone()
    trial.compare_batches(alone)
    by_class = trial.draw_classes()
    trial.refuse_what_changes_nothing(alone)
    _refuse_one_colour(np.concatenate([alone, *(one.images for one in by_class)]))
    count = sum(len(one.images) for one in by_class)
    truncation = trial.truncation_matters(alone)
    if not truncation:
        trial.refuse_if_z_is_ignored()
    if engine.name != "fake" and not (contract.golden and _labels_are_seen(file, contract)):
        if not by_class:
            z = trial.z[[0, 1, _IMAGES - 1]]  # no outlier, which may rightly overflow
            by_class = [Batch(z, None, trial.draw(z, None))]
        reference.compare(file, by_class, engine.name, CLASSES_SECONDS)
    return Findings(trial.levels, trial.images, sorted(trial.tried), count, truncation, trial.seconds)


@dataclass
class _Trial:
    contract: Contract
    engine: Engine
    max_batch: int
    begun: float = field(default_factory=time.monotonic)
    levels: int = 0
    images: int = 0

    def __post_init__(self) -> None:
        contract = self.contract
        image = contract.image
        self.shape = image.channels, image.height, image.width
        self.sizes = sorted({*SIZES, *self.engine.buckets, self.max_batch})
        self.tried = {1}
        engine = self.engine
        self.forwards: Sequence[Forward] = [*dict.fromkeys((engine.lanes[0], engine.wide, *engine.lanes))]
        self.z = contract.rows(range(_IMAGES), contract.texts(range(_IMAGES)))
        for place, scale in _SCALES.items():
            self.z[[place]] = contract.scaled(self.z[[place]], scale)
        # From the last class down to the first, evenly.
        last = contract.class_count - 1
        self.label = np.linspace(last, 0, _IMAGES).astype(np.int64) if contract.classes is not None else None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def draw(
        self, z: NDArray[np.float32], label: NDArray[np.int64] | None, forward: Forward | None = None
    ) -> NDArray[np.uint8]:
        """One pass, of the first lane if no other is named. Raises ContractError: not images of the contract."""
        try:
            images = (forward or self.forwards[0])(z, label)
        except Exception as error:  # an engine may raise anything
            of = "" if label is None else f" of labels {label.min()} to {label.max()}"
            what = f"{self.engine.name} fails on a batch of {len(z)}{of}: {error}"
            raise ContractError(what, "export it again, in float32") from error
        self.images += len(z)
        if images.shape != (len(z), *self.shape) or images.dtype != np.uint8:
            what = f"at batch size {len(z)} the graph gives {images.dtype} {images.shape}, not uint8 {(len(z), *self.shape)}"
            raise ContractError(what, IMPORT)
        return images

    def draw_rows(self, rows: NDArray[np.int64], forward: Forward | None = None) -> NDArray[np.uint8]:
        return self.draw(self.z[rows], None if self.label is None else self.label[rows], forward)

    def draw_alone(self) -> NDArray[np.uint8]:
        """Each of them, the first one twice."""
        alone = [self.draw_rows(np.array([row])) for row in range(_IMAGES)]
        self._refuse_noise(alone[0], self.draw_rows(np.array([0])))
        return np.concatenate(alone)

    def compare_batches(self, alone: NDArray[np.uint8]) -> None:
        """Batches of `sizes` by every forward pass, then of other sizes, then of all again; mixed anew each time."""
        random = np.random.default_rng(0)
        others = random.permutation([n for n in range(1, self.max_batch) if n not in self.sizes]).tolist()
        for number, size in enumerate([*self.sizes, *others, *(_ROUNDS - 1) * self.sizes]):
            for forward in self.forwards:
                if number >= len(self.sizes) and self.seconds > SECONDS:
                    return
                # Each of them is at another place every time, and full batches hold each several times.
                rows = random.permutation(np.arange(size) % _IMAGES if size > _IMAGES else _IMAGES)[:size]
                self._compare(rows, alone, forward)
            self.tried.add(size)

    def draw_classes(self) -> list[Batch]:
        """One image of each class, or of many, the last among them; of as many as there is time for."""
        count = self.contract.class_count
        if not count:
            return []
        every = np.arange(count)[::-1]
        if count > MOST_CLASSES:
            others = np.random.default_rng(0).choice(count - 1, MOST_CLASSES - 1, replace=False)
            every = np.array([count - 1, *others])
        drawn = []
        end = self.seconds + CLASSES_SECONDS
        for start in range(0, len(every), self.max_batch):
            if drawn and self.seconds > end:
                break
            label = every[start : start + self.max_batch].astype(np.int64)
            z = self.contract.rows(label.tolist())
            drawn.append(Batch(z, label, self.draw(z, label)))
        return drawn

    def truncation_matters(self, alone: NDArray[np.uint8]) -> bool:
        """False where z is brought to one length before it is used: all truncations would be addresses of one image."""
        # By one level, rounding may move it: z is another one. Of a slow generator one image mostly says it.
        for rows, by in (slice(1), 0.1), (slice(1), 0.5), (slice(1, None), 0.1), (slice(1, None), 0.5):
            label = None if self.label is None else self.label[rows]
            images = self.draw(self.contract.truncated(self.z[rows], by), label)
            if golden.difference(images, alone[rows]).max > 1:
                return True
        return False

    def refuse_what_changes_nothing(self, alone: NDArray[np.uint8]) -> None:
        """A scalar or code, at both ends of it: one image would have many addresses; or the label, picture or text that is given."""
        for one, place in chosen_by_name(self.contract.declared).values():
            ends = []
            for value in (one.low, one.high):
                rows = self.z.copy()
                rows[:, place] = value
                ends.append(self.draw(rows, self.label))
            if all(np.array_equal(images, alone) for images in ends):
                what = f"the {one.role} {one.name} changes nothing, from {one.low:g} to {one.high:g}"
                raise ContractError(
                    what, "give it another range, or make it a constant: `ganserve import --constant`"
                )
        if self.engine.name == "fake":  # which may have no room to paint it
            return
        if self.label is not None and self.contract.class_count > 1:
            self._refuse_a_label_that_changes_nothing(self.label, alone)
        for what, rows in self.contract.exchanged(self.z):
            if np.array_equal(self.draw(rows, self.label), alone):
                raise ContractError(
                    f"the {what} that it is given changes nothing", "export it again with that input in use"
                )

    def _refuse_a_label_that_changes_nothing(
        self, label: NDArray[np.int64], alone: NDArray[np.uint8]
    ) -> None:
        """Of a slow generator one image mostly says it."""
        others = (label + 1) % self.contract.class_count
        for rows in (slice(1), slice(1, None)):
            if not np.array_equal(self.draw(self.z[rows], others[rows]), alone[rows]):
                return
        raise ContractError(
            f"the label changes nothing: {_IMAGES} seeds draw the same image, bit by bit, of one class and of another",
            "import it without classes: `ganserve import --constant LABEL=0`, or another input as `--label`",
        )

    def refuse_if_z_is_ignored(self) -> None:
        """Of some class, and one text, two z must have different images."""
        rows = self.contract.rows(range(_IMAGES))
        classes = [None] if self.label is None else self.label[[0, -1]]
        for one in classes:
            images = self.draw(rows, None if one is None else np.full(_IMAGES, one))
            if (images != images[:1]).any():
                return
        of = (
            "" if self.label is None else f" of each of the classes {sorted({*self.label[[0, -1]].tolist()})}"
        )
        raise ContractError(
            f"z changes nothing: {_IMAGES} seeds{of} are one image, bit by bit",
            "where another input is its noise, `ganserve import --z NAME`, or `--drawn NAME`; where the graph draws it, `--noise z`; "
            "else it has learnt one picture: take another checkpoint",
        )

    def _compare(self, rows: NDArray[np.int64], alone: NDArray[np.uint8], forward: Forward) -> None:
        images = self.draw_rows(rows, forward)
        if np.array_equal(images, alone[rows]):
            return
        for place, row in enumerate(rows):
            errors = golden.difference(images[place : place + 1], alone[row : row + 1])
            self.levels = max(self.levels, int(errors.max))
            if errors.excess(self.engine.precision):
                self._refuse_noise(images, self.draw_rows(rows, forward))
                raise ContractError(
                    f"{self._on_what(row, len(rows), forward)}: of {len(rows)}, the one at place {place + 1} is up to "
                    f"{errors.max:.0f} grey levels from the same one alone",
                    EVAL,
                )

    def _on_what(self, row: int, size: int, forward: Forward) -> str:
        if size == 1:
            return f"one lane of {self.engine.name} gives other pictures than another"
        copies = self.draw_rows(np.full(size, row), forward)
        spread = golden.difference(copies, copies[:1].repeat(size, axis=0))
        if spread.excess(self.engine.precision):
            return "an image depends on its place in the batch"
        return "an image depends on the others of its batch"

    def _refuse_noise(self, first: NDArray[np.uint8], again: NDArray[np.uint8]) -> None:
        errors = golden.difference(first, again)
        # An accelerator may add up in another order each time; a CPU does the same thing twice.
        if errors.excess(self.engine.precision) or (errors.max and not self.engine.buckets):
            raise ContractError(
                f"the same (z, label), drawn twice, is two images, up to {errors.max:.0f} grey levels apart: the graph "
                "draws random numbers, or keeps something from one pass to the next",
                "`ganserve import --noise z` makes what it draws a part of z; else export it again without it",
            )
        self.levels = max(self.levels, int(errors.max))


def _refuse_one_colour(images: NDArray[np.uint8]) -> None:
    """Unless one has another pixel than its first; images of one pixel may."""
    if images.shape[2:] != (1, 1) and (images == images[:, :, :1, :1]).all():
        raise ContractError(
            "every image is of one colour: weights that are not finite, or nothing was trained",
            "take another checkpoint, or, of `ganserve import`, another --range or --output",
        )


def _labels_are_seen(file: bytes, contract: Contract) -> bool:
    if contract.classes is None:
        return True
    return graph.labels_stay_inside(taken_apart(file).model(), contract.class_count)
