"""Names of picture files, from what a server calls its classes."""

import numpy as np

from ganserve.answers.drawn import Samples
from ganserve.files import image_names


class Card:
    def __init__(self, slugs: list[str]) -> None:
        self._slugs = slugs

    def model(self, name: str) -> dict:
        return {"slugs": self._slugs}


def names(*slugs: str) -> list[str]:
    labels, images = np.arange(len(slugs)), np.zeros((len(slugs), 2, 2, 1), np.uint8)
    samples = Samples(images, labels, np.arange(len(slugs)), "m", "v")
    return image_names(Card(list(slugs)), samples)  # pyright: ignore[reportArgumentType]


def test_letters_and_vowel_signs_of_every_script_stay():
    assert names("हिन्दी", "собака-белая", "日本") == ["हिन्दी-0", "собака-белая-1", "日本-2"]


def test_what_a_server_calls_a_class_leads_to_no_other_folder():
    assert names("../../etc/x", "a\\b", "c:d") == ["______etc_x-0", "a_b-1", "c_d-2"]
