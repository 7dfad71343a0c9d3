"""Captions: what is measured, which words fit, which are held out, and texts that do not fit."""

import numpy as np
import pytest

from tests.training.tiny import stripes
from training.captions import rules
from training.captions.rules import ATTRIBUTES, captions_of, combinations
from training.data.dataset import Dataset
from training.errors import UserError


def dataset(channels: int = 1) -> Dataset:
    """Of every class darker and brighter pictures, in a square that is smaller or larger."""
    images, labels = stripes(240, 28, channels, 3)
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    rng = np.random.default_rng(1)
    for i, image in enumerate(images):
        edge = rng.integers(1, 12)
        image[:, :edge] = image[:, 28 - edge :] = 0
        images[i] = (image * rng.uniform(0.3, 1)).astype(np.uint8)
    names = ("T-shirt/top", "Bag", "Ankle boot")
    return Dataset(
        "stripes", names, images, labels.astype(np.int64), images[:30], labels[:30].astype(np.int64)
    )


CAPTIONS = captions_of(dataset())


def test_measures_are_what_they_say():
    picture = np.zeros((1, 1, 8, 8), np.uint8)
    picture[0, 0, 2:6, 2:6] = 100
    picture[0, 0, 3, 3] = 20  # is nothing
    assert rules.size(picture)[0] == 15 / 64
    assert rules.brightness(picture)[0] == 100
    whole = np.full((1, 1, 8, 8), 100, np.uint8)
    assert rules.pattern(whole)[0] == 0
    whole[0, 0, :, 4:] = 200
    # Of the 6 x 6 pixels that have others on all sides, two columns see the step: 4 x 100 over 8 neighbours' weights.
    assert rules.pattern(whole)[0] == pytest.approx(400 * 2 / 6)
    assert rules.brightness(np.zeros((1, 1, 8, 8), np.uint8))[0] == 0
    colour = np.stack([np.full((8, 8), level, np.uint8) for level in (90, 10, 30)])[None]
    assert rules.warmth(colour)[0] == 60


def test_a_word_fits_a_third_of_every_class():
    data = dataset()
    states = CAPTIONS.states(data.images, data.labels)
    for label in range(3):
        own = states[data.labels == label]
        for value in (-1, 1):
            np.testing.assert_allclose((own == value).mean(axis=0), 1 / 3, atol=0.05)


@pytest.mark.parametrize(
    ("label", "state", "text"),
    [
        (1, (-1, 1, 0), "a dark large bag"),
        (2, (0, 0, 0), "an ankle boot"),
        (0, (0, 0, 1), "a patterned t-shirt"),
    ],
)
def test_a_caption_says_class_and_measures(label, state, text):
    assert CAPTIONS.text(label, state) == text


def test_texts_of_training_are_never_held_out_and_the_other_one_never_fits():
    data, rng = dataset(), np.random.default_rng(0)
    states = CAPTIONS.states(data.images, data.labels)
    kept = np.flatnonzero(~CAPTIONS.is_held_out(data.labels, states))
    assert 0 < len(kept) < len(states)
    words = {
        word: (i, value)
        for i, name in enumerate(CAPTIONS.attributes)
        for word, value in zip(ATTRIBUTES[name].words, (-1, 1), strict=True)
    }
    nouns = {"t-shirt": 0, "top": 0, "bag": 1, "boot": 2}
    seen = set()
    for row in kept:
        for fits, text in zip(
            (True, False), CAPTIONS.told(int(data.labels[row]), states[row], rng), strict=True
        ):
            if not text:
                continue
            said = text.split()
            label = next(nouns[word] for word in said if word in nouns)
            state = [0] * len(CAPTIONS.attributes)
            for word in said:
                if word in words:
                    state[words[word][0]] = words[word][1]
            assert not CAPTIONS.held_out(label, state)
            right = label == data.labels[row] and all(
                s in (0, own) for s, own in zip(state, states[row], strict=True)
            )
            assert right == fits
            seen |= set(said)
    assert seen <= set(CAPTIONS.words)


def test_all_combinations_are_asked_for_and_a_quarter_is_held_out():
    asked = list(combinations(CAPTIONS))
    assert len(set(asked)) == 3 * 2**3
    assert sum(CAPTIONS.held_out(*one) for one in asked) == 3 * 2
    assert max(len(CAPTIONS.text(*one).split()) for one in asked) <= CAPTIONS.length


def test_what_can_have_no_captions_is_refused():
    with pytest.raises(UserError, match="has no classes"):
        captions_of(dataset().as_one_class())
    with pytest.raises(UserError, match="warmth needs colour"):
        captions_of(dataset(), ["size", "warmth"])
    with pytest.raises(UserError, match="two attributes at least"):
        captions_of(dataset(), ["size"])
    assert captions_of(dataset(channels=3)).attributes == tuple(ATTRIBUTES)
