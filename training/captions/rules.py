"""What is said of a picture: its class, and words for what is measured of it, so that any labelled data set has captions.

A measure is a pure function of each picture alone, uint8 [N, C, H, W] -> float64 [N]. Of each class the training split's
terciles are its two thresholds: the lower third has one word, the upper third the other, the middle none. So a dark
bag is one that is darker than two thirds of the bags, and each word fits a third of every class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from service.generator.text.reading import words_in
from training.data.dataset import Dataset, Indices, Pixels
from training.errors import UserError
from training.translation.rules import gradient

States = NDArray[np.int64]
"""[N, attributes]: -1 the lower word, 1 the upper, 0 none."""
State = Sequence[int] | NDArray[np.int64]
"""Of one picture."""
# Where a picture on black has something: of 255 levels.
SOMETHING = 25
SAID, NOTHING = 0.75, 0.05
"""How often a word that fits is said, and how often nothing is."""
_BEFORE = ("", "{article} ", "the ", "a picture of {article} ")


class Attribute(NamedTuple):
    """about: what is measured, for people."""

    of: Callable[[Pixels], NDArray[np.float64]]
    words: tuple[str, str]
    about: str
    needs_colour: bool = False


def thing(images: Pixels) -> NDArray[np.bool_]:
    """[N, 1, H, W]: where any channel is above 25 of 255."""
    return images.max(axis=1, keepdims=True) > SOMETHING


def mean_over(values: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each picture, over all channels where the mask is; 0 where it is nowhere. values: [N, C, H, W]; mask: [N, 1, H, W]."""
    total = np.where(mask, values, 0).mean(axis=1, dtype=np.float64).sum(axis=(1, 2))
    return total / np.maximum(mask.sum(axis=(1, 2, 3)), 1)


def brightness(images: Pixels) -> NDArray[np.float64]:
    """The mean level of the thing."""
    return mean_over(images, thing(images))


def size(images: Pixels) -> NDArray[np.float64]:
    """The thing's share of the picture."""
    return thing(images).mean(axis=(1, 2, 3))


def pattern(images: Pixels) -> NDArray[np.float64]:
    """The mean length of Sobel's gradient inside the thing, where all 3x3 pixels around are of it."""
    core = minimum_filter(thing(images), (1, 1, 3, 3), mode="constant").astype(bool)
    return mean_over(gradient(images), core)


def warmth(images: Pixels) -> NDArray[np.float64]:
    """Red less blue, the mean over the picture."""
    return images[:, 0].mean(axis=(1, 2)) - images[:, 2].mean(axis=(1, 2))


# The words of the first two are those that are held out together; see `held_out`.
ATTRIBUTES = {
    "brightness": Attribute(brightness, ("dark", "bright"), "mean level where any channel is above 25"),
    "size": Attribute(size, ("small", "large"), "share of the pixels in which any channel is above 25"),
    "pattern": Attribute(pattern, ("plain", "patterned"), "mean Sobel gradient inside of what is above 25"),
    "warmth": Attribute(warmth, ("cool", "warm"), "mean red less mean blue", needs_colour=True),
}


@dataclass(frozen=True)
class Captions:
    """The rule of one data set. thresholds: float64 [classes, attributes, 2]."""

    names: tuple[str, ...]
    attributes: tuple[str, ...]
    thresholds: NDArray[np.float64]

    @property
    def words(self) -> list[str]:
        """All that a caption may hold, sorted."""
        fixed = " ".join(_BEFORE).replace("{article}", "a an")
        said = [word for name in self.attributes for word in ATTRIBUTES[name].words]
        return sorted({*words_in(fixed), *said, *(word for name in self.names for word in words_in(name))})

    @property
    def length(self) -> int:
        """Words of the longest caption."""
        return 4 + len(self.attributes) + max(len(words_in(name)) for name in self.names)

    def states(self, images: Pixels, labels: Indices) -> States:
        """Which words fit. labels: int64 [N], which class each picture is to be measured as."""
        values = np.stack([ATTRIBUTES[name].of(images) for name in self.attributes], axis=1)
        low, high = np.moveaxis(self.thresholds[labels], 2, 0)
        return (values > high).astype(np.int64) - (values < low)

    def held_out(self, label: int, state: State) -> bool:
        """Of each class one pair of words for the first two attributes, in turns, is in no training picture or text."""
        corner = ((-1, -1), (1, 1), (-1, 1), (1, -1))[label % 4]
        return tuple(state[:2]) == corner

    def is_held_out(self, labels: Indices, states: States) -> NDArray[np.bool_]:
        return np.array(
            [self.held_out(int(label), state) for label, state in zip(labels, states, strict=True)], bool
        )

    def text(self, label: int, state: State, rng: np.random.Generator | None = None) -> str:
        """The words in any order, and before them nothing, an article or a few words; without rng in their order, an article.

        A class with several names ("T-shirt/top") has one of them. state: as said, 0 where nothing is.
        """
        said = [
            ATTRIBUTES[name].words[int(one > 0)]
            for name, one in zip(self.attributes, state, strict=True)
            if one
        ]
        names = [name.strip().lower() for name in self.names[label].split("/")]
        before, name = _BEFORE[1], names[0]
        if rng is not None:
            said = [said[i] for i in rng.permutation(len(said))]
            before, name = _BEFORE[rng.integers(len(_BEFORE))], names[rng.integers(len(names))]
        words = " ".join([*said, name])
        return before.format(article="an" if words[0] in "aeiou" else "a") + words

    def told(self, label: int, state: State, rng: np.random.Generator) -> tuple[str, str]:
        """A text that fits a picture, and one that does not: another class, or one word turned round. Neither is held out."""
        kept = [one if rng.random() < SAID else 0 for one in state]
        right = "" if rng.random() < NOTHING else self.text(label, kept, rng)
        while True:
            wrong, other = list(kept), label
            fits = np.flatnonzero(state)
            if len(fits) and rng.random() < 0.5:
                turned = rng.choice(fits)
                wrong[turned] = -state[turned]
            else:
                other = int((label + rng.integers(1, len(self.names))) % len(self.names))
            if not self.held_out(other, wrong):
                return right, self.text(other, wrong, rng)


def captions_of(dataset: Dataset, attributes: Sequence[str] | None = None) -> Captions:
    """attributes: by default all that these pictures can have. Raises UserError."""
    if not dataset.has_classes:
        raise UserError(f"{dataset.name} has no classes: captions need them")
    is_grey = dataset.spec.channels == 1
    chosen = tuple(
        attributes or (name for name, one in ATTRIBUTES.items() if not (is_grey and one.needs_colour))
    )
    if wrong := [name for name in chosen if is_grey and ATTRIBUTES[name].needs_colour]:
        raise UserError(f"{wrong[0]} needs colour, and these pictures are grey")
    if len(chosen) < 2:
        raise UserError("captions need two attributes at least: pairs of their words are what is held out")
    values = np.stack([ATTRIBUTES[name].of(dataset.images) for name in chosen], axis=1)
    thirds = [
        np.quantile(values[dataset.labels == label], (1 / 3, 2 / 3), axis=0).T
        for label in range(dataset.spec.classes)
    ]
    return Captions(dataset.class_names, chosen, np.stack(thirds))


def combinations(captions: Captions) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every class with one word for each attribute: those that are asked for when a generator is measured."""
    for label in range(len(captions.names)):
        for bits in np.ndindex(*(2 for _ in captions.attributes)):
            yield label, tuple(2 * bit - 1 for bit in bits)
