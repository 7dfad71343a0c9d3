"""A prompt in a few words -> the class that it names, or the text of a model that reads one.

Where no network reads it, words are compared with class names.

The whole prompt may be a class name, a slug or an index ("class 7"). Else the class is looked for among
its words, in any case, with or without accents and hyphens, singular or plural:

- A class name with slashes or commas ("T-shirt/top") is also known by each part.
- Where two names overlap the longer is meant: "ankle boot" before "boot", "t-shirt" before "shirt".
- If no whole name is there, a word of one class name only will do: "boots" for Ankle boot.
- Two classes apart from each other ("a shirt and a dress") are an ambiguity, and refused.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from service.drawing.mixing import TAKEN_BY
from service.errors import InvalidField
from service.generator.contract import Contract

_INDEX = re.compile(r"(?:(?:class|label|index)\s+|#)?(\d{1,9})", re.ASCII)
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES = re.compile("['\u2019]")
_BETWEEN_NAMES = re.compile(r"[/,;|]| or ")
# Words of class names that name nothing by themselves.
_SMALL_WORDS = {"and", "the", "for", "with", "from", "other"}
_MOST_LISTED = 50

_Words = tuple[str, ...]


class Names(Struct):
    """What classes are called: the stems of a name's words -> the names that have them, each with its label."""

    by_stems: dict[_Words, list[tuple[_Words, int]]] = {}
    lengths: set[int] = set()
    """Words that a name can have."""

    def add(self, name: _Words, label: int) -> None:
        self.by_stems.setdefault(tuple(map(_stem, name)), []).append((name, label))
        self.lengths.add(len(name))


def understood(prompt: str, contract: Contract) -> tuple[int | None, str | None]:
    """The class that a prompt names, or, of a model that reads a text, the prompt as its text. Raises InvalidField."""
    if contract.text is not None:
        return None, prompt
    return (None if contract.classes is None else match(prompt, contract)), None


def match(prompt: str, contract: Contract) -> int:
    """The class that `prompt` names; `contract` has classes.

    Raises InvalidField where there is none, or more than one; its text lists the classes.
    """
    assert contract.classes is not None
    text = prompt.strip().casefold()
    label = contract.label_of(prompt)
    if label is None and (index := _INDEX.fullmatch(text)) and int(index[1]) < contract.class_count:
        label = int(index[1])
    if label is not None:
        return label
    names, single_words = _vocabulary(tuple(contract.classes))
    words = _words(prompt)
    labels = _labels(words, names) or _labels(list(dict.fromkeys(words)), single_words)
    if len(labels) == 1:
        return labels.pop()
    raise InvalidField("prompt", _refusal(prompt, sorted(labels), contract.classes))


def _refusal(prompt: str, labels: Sequence[int], classes: Sequence[str]) -> str:
    said = f"The prompt '{prompt[:64]}' names no class of this model"
    if labels:
        could_be = " or ".join(classes[label] for label in labels[:8]) + (" ..." if len(labels) > 8 else "")
        said = f"The prompt '{prompt[:64]}' could mean {could_be}; it must name one class: {TAKEN_BY}"
    listed = ", ".join(classes[:_MOST_LISTED]) + (", ..." if len(classes) > _MOST_LISTED else "")
    return f"{said}. The classes, by name or by index from 0 to {len(classes) - 1}: {listed}."


def _labels(words: Sequence[str], names: Names) -> set[int]:
    """The classes that the words name, longer names first; a word of a longer name is part of no shorter one."""
    stems = [_stem(word) for word in words]
    free = [True] * len(words)
    known: dict[_Words, set[int]] = {}  # a prompt may repeat itself
    labels: set[int] = set()
    for length in sorted(names.lengths, reverse=True):
        starts = []
        for start in range(len(words) - length + 1):
            stop = start + length
            entries = names.by_stems.get(tuple(stems[start:stop]))
            if not entries or not all(free[start:stop]):
                continue
            there = tuple(words[start:stop])
            if there not in known:
                known[there] = _named(there, entries)
            if known[there]:
                labels |= known[there]
                starts.append(start)
        for start in starts:
            free[start : start + length] = [False] * length
    return labels


def _named(words: _Words, entries: Sequence[tuple[_Words, int]]) -> set[int]:
    """The labels of the names that these words are; of "glass" and "glasses" the one that is there as it stands."""
    same = [
        (sum(map(str.__eq__, words, name)), label)
        for name, label in entries
        if all(map(_is_same_or_plural, words, name))
    ]
    most = max((count for count, _ in same), default=0)
    return {label for count, label in same if count == most}


@lru_cache(256)
def _vocabulary(classes: tuple[str, ...]) -> tuple[Names, Names]:
    """Whole names (and parts of those that are several), and single words of names."""
    names, single_words = Names(), Names()
    for label, class_name in enumerate(classes):
        whole = tuple(_words(class_name))
        phrases = {whole, *(tuple(_words(part)) for part in _BETWEEN_NAMES.split(class_name))} - {()}
        phrases |= {("".join(phrase),) for phrase in phrases}  # "tshirt"
        for phrase in phrases:
            names.add(phrase, label)
        for word in set(whole) - _SMALL_WORDS:
            if len(word) > 2:
                single_words.add((word,), label)
    return names, single_words


def _words(text: str) -> list[str]:
    """Case-folded words without accents; an apostrophe is no gap, a hyphen is."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


def _stem(word: str) -> str:
    """The same for a word and its plural; also for a few words that are neither, which `_is_same_or_plural` parts."""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 2:
        word = word.removesuffix("e")
        if word.endswith("y"):
            word = word[:-1] + "i"
    return word


def _is_same_or_plural(word: str, other: str) -> bool:
    return word == other or word in _plurals(other) or other in _plurals(word)


def _plurals(word: str) -> tuple[str, ...]:
    """English, and no more of it than this."""
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        return (word + "es", word + "s")
    if word.endswith("y"):
        return (word[:-1] + "ies", word + "s")
    return (word + "s",)
