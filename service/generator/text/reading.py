"""A text -> token ids, by what the file itself holds: a list of words, or a tokenizer in the JSON of Hugging Face's `tokenizers`."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import ContractError, InvalidField

MOST_CHARACTERS = 4000
MOST_TOKENS = 1024
NO_TOKENIZERS = "texts of this model are read by the package `tokenizers`, which is not installed"
_TOKENIZER = "`ganserve import --tokenizer tokenizer.json` with one of Hugging Face's `tokenizers`"
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_MOST_LISTED = 80


class Reading(NamedTuple):
    """How a file reads: `length` ids a text; by its words, or by its tokenizer, which fills up with the id `pad`."""

    length: int
    words: tuple[str, ...] = ()
    tokenizer: str = ""
    pad: int = 0

    @property
    def tokens(self) -> int:
        """How many ids there are, from 0. Raises ContractError, of a tokenizer that can't be read."""
        return tokens_in(self.tokenizer) if self.tokenizer else len(self.words) + 1

    def ids(self, texts: Sequence[str] | None, n: int) -> NDArray[np.float32]:
        """float32 [n, length], which holds every id exactly. texts: n of them, or None, which is n empty ones.

        Raises InvalidField, of a text that it can't read; ContractError where the package that reads it is missing.
        """
        different = {one: self._ids(one) for one in texts or [""]}
        ids = [different[one] for one in texts] if texts else [different[""]] * n
        return np.array(ids, np.float32).reshape(n, self.length)

    def sample(self, seed: int) -> str:
        """What a file is tried by: up to half as many words, or tokens, as it reads, drawn from its vocabulary by the seed."""
        rng, count = np.random.default_rng(seed), 1 + seed % max(1, self.length // 2)
        if not self.tokenizer:
            return " ".join(rng.choice(self.words, count))
        chosen = rng.integers(self.tokens, size=count).tolist()
        return tokenizer_of(self.tokenizer, self.length, self.pad).decode(chosen)

    def faults(self) -> list[str]:
        """What can't be."""
        if not 1 <= self.length <= MOST_TOKENS:
            return [f"a text has 1 to {MOST_TOKENS:,} tokens"]
        if bool(self.words) == bool(self.tokenizer):
            return ["a text has words, or a tokenizer"]
        if len(set(self.words)) < len(self.words) or any(words_in(word) != [word] for word in self.words):
            return ["words are in lower case, of letters, digits, - and ', each once"]
        try:
            # All of which float32 holds.
            if not self.pad < self.tokens <= 2**24:
                return [f"pad is {self.pad}, of {self.tokens:,} tokens"]
        except ContractError as error:
            return [error.what]
        return []

    def _ids(self, text: str) -> list[int]:
        if len(text) > MOST_CHARACTERS:
            raise InvalidField("text", f"text has {len(text):,} characters; allowed are {MOST_CHARACTERS:,}.")
        if self.tokenizer:
            return tokenizer_of(self.tokenizer, self.length, self.pad).encode(text).ids
        return ids_of_words(text, self.words, self.length)


def words_in(text: str) -> list[str]:
    """In lower case: letters and digits, with hyphens and apostrophes between them; what is no word is passed over."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def ids_of_words(text: str, words: Sequence[str], length: int) -> list[int]:
    """Word i of the file has id i + 1; 0 fills up behind, and is all of the empty text.

    Raises InvalidField, of an unknown word, and of more than `length`: nothing is cut off.
    """
    known = _numbers(tuple(words))
    found = words_in(text)
    if unknown := [word for word in found if word not in known]:
        listed = ", ".join(words[:_MOST_LISTED]) + (", ..." if len(words) > _MOST_LISTED else "")
        raise InvalidField(
            "text", f"text: this model does not know '{unknown[0][:64]}'; its words: {listed}."
        )
    if len(found) > length:
        raise InvalidField("text", f"text has {len(found)} words; this model reads {length} at most.")
    return [*(known[word] for word in found), *[0] * (length - len(found))]


@lru_cache(16)
def tokenizer_of(document: str, length: int, pad: int) -> Any:
    """It reads as its own JSON says, but cut to `length` as it cuts, special tokens kept, and filled up behind with `pad`.

    Raises ContractError: the package is not there, or the document is none of its.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ContractError(NO_TOKENIZERS, "pip install 'ganserve[text]'") from error
    try:
        tokenizer = Tokenizer.from_str(document)
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "")
    except Exception as error:  # Rust's, without a class of its own
        raise ContractError(f"the tokenizer can't be read: {error}", _TOKENIZER) from error
    return tokenizer


@lru_cache(16)
def tokens_in(document: str) -> int:
    """One more than the highest id that the tokenizer gives. Raises ContractError."""
    try:
        held = json.loads(document)
        vocabulary = held["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        return 1 + max([*ids, *(int(one["id"]) for one in held.get("added_tokens", ()))])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContractError(f"the tokenizer can't be read: {error!r}", _TOKENIZER) from error


def pad_of(document: str) -> int:
    """What the tokenizer fills up with: as it says itself, else the token that is usually called so, else 0."""
    try:
        held = json.loads(document)
        ids = held["model"]["vocab"] | {one["content"]: one["id"] for one in held.get("added_tokens") or ()}
        own = (held.get("padding") or {}).get("pad_id")
        # CLIP's end of text fills up, too.
        named = (ids[name] for name in ("<pad>", "[PAD]", "<|endoftext|>") if name in ids)
        return int(own) if own is not None else next(named, 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0  # `faults` says what is wrong with it


@lru_cache(16)
def _numbers(words: tuple[str, ...]) -> dict[str, int]:
    return {word: i for i, word in enumerate(words, 1)}
