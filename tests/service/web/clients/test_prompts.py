import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidField
from service.generator.contract import Contract, ImageShape
from service.web.clients import prompts
from tests.generators import CLASSES


def contract(*classes: str) -> Contract:
    return Contract(schema=1, name="x", z_dim=1, classes=list(classes), image=ImageShape(1, 8, 8))


def named(prompt: str, *classes: str) -> str:
    classes = classes or CLASSES
    return classes[prompts.match(prompt, contract(*classes))]


def refusal(prompt: str, *classes: str) -> str:
    with pytest.raises(InvalidField) as error:
        named(prompt, *classes)
    assert error.value.field == "prompt"
    return str(error.value)


@pytest.mark.parametrize(
    ("prompt", "class_name"),
    [
        ("Sneaker", "Sneaker"),
        ("  SNEAKER \n", "Sneaker"),
        ("T-shirt/top", "T-shirt/top"),
        ("t-shirt-top", "T-shirt/top"),
        ("ankle-boot", "Ankle boot"),
        ("7", "Sneaker"),
        ("#7", "Sneaker"),
        ("class 7", "Sneaker"),
        ("Label  0", "T-shirt/top"),
    ],
)
def test_a_prompt_may_be_a_class_name_a_slug_or_an_index(prompt, class_name):
    assert named(prompt) == class_name


@pytest.mark.parametrize(
    ("prompt", "class_name"),
    [
        ("a photo of a sneaker", "Sneaker"),
        ("A photo of a Sneaker, studio light.", "Sneaker"),
        ("two ankle boots", "Ankle boot"),
        ("ANKLE_BOOT on white", "Ankle boot"),
        ("ankleboots", "Ankle boot"),
        ("dresses", "Dress"),
        ("trousers", "Trouser"),
        ("four coats!", "Coat"),
        ("my T-shirts", "T-shirt/top"),
        ("one tshirt", "T-shirt/top"),
        ("a blue top", "T-shirt/top"),
        ("t shirt top", "T-shirt/top"),
        ("a shirt", "Shirt"),
        ("boots", "Ankle boot"),
        ("3 bags", "Bag"),
        ("a sneaker beside another sneaker", "Sneaker"),
    ],
)
def test_a_class_is_found_in_a_few_words(prompt, class_name):
    assert named(prompt) == class_name


def test_of_names_that_overlap_the_longer_is_meant():
    fish = ("shark", "white shark", "great white shark", "white")
    assert named("a great white shark at sea", *fish) == "great white shark"
    assert named("white sharks", *fish) == "white shark"
    assert named("the shark", *fish) == "shark"
    assert named("something white", *fish) == "white"
    assert "white or shark" not in refusal("shark, white", *fish)


def test_a_word_as_it_stands_is_meant_before_its_plural():
    assert named("glasses on a nose", "glass", "glasses") == "glasses"
    assert named("a glass", "glass", "glasses") == "glass"
    assert named("two dogs", "dog", "cat") == "dog"
    assert named("a dog", "dogs", "cats") == "dogs"


@pytest.mark.parametrize(
    ("prompt", "classes"),
    [("puppies", ("puppy",)), ("buses", ("bus",)), ("boxes", ("box",)), ("shoes", ("shoe",)), ("churches", ("church",)),
     ("houses", ("house",)), ("potatoes", ("potato",)), ("women's shoes", ("womens shoe",)), ("a bus", ("bus",))],
)  # fmt: skip
def test_simple_plurals_are_known(prompt, classes):
    assert named(prompt, *classes) == classes[0]


def test_each_part_of_a_name_with_commas_is_a_name():
    fish = ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert named("a tinca tinca", *fish) == fish[0]
    assert named("goldfish in a bowl", *fish) == fish[1]


def test_a_digit_is_a_class_where_classes_are_digits():
    digits = tuple("9876543210")
    assert named("3", *digits) == "3"
    assert named("a handwritten 3", *digits) == "3"
    assert "4 or 3" in refusal("3 and 4", *digits)


def test_other_scripts_and_accents_are_words_too():
    assert named("ein Foto einer Größe", "größe", "form") == "größe"
    assert named("die grosse", "größe", "form") == "größe"
    assert named("a photo of 猫", "犬", "猫") == "猫"
    assert named("a cafe", "Café", "bar") == "Café"


@pytest.mark.parametrize("prompt", ["a shirt and a dress", "coat or bag?", "sneakers, sandals"])
def test_two_classes_are_an_ambiguity_that_names_both(prompt):
    text = refusal(prompt)
    assert "could mean" in text
    assert ", ".join(CLASSES) in text


def test_a_word_of_several_classes_is_ambiguous():
    text = refusal("a shark", "tiger shark", "hammerhead shark", "cat")
    assert "tiger shark or hammerhead shark" in text
    assert named("a hammerhead", "tiger shark", "hammerhead shark", "cat") == "hammerhead shark"


@pytest.mark.parametrize("prompt", ["", " ", "shoe", "undressed", "10", "-1", "class 11", "7.5", "t", "the", "\x00",
                                    "\ud800", "😀", "sneak", "snea ker", "a bage"])  # fmt: skip
def test_a_prompt_that_names_no_class_is_refused_with_the_classes(prompt):
    text = refusal(prompt)
    assert "names no class" in text
    assert ", ".join(CLASSES) in text
    assert "0 to 9" in text


def test_a_refusal_stays_short_whatever_the_prompt_and_the_model():
    classes = tuple(f"class number {i}" for i in range(5000))
    for prompt in ("x" * 4000, "number", "number " * 500):
        assert len(refusal(prompt, *classes)) < 2000


@pytest.mark.parametrize("repeated", ["a ", "thing ", "thing 3 of ", "animal "])
def test_a_long_prompt_for_many_classes_takes_no_time(repeated):
    classes = tuple(f"animal/thing {i} of {j}" for i in range(100) for j in range(10))
    assert named("thing 3 of 4", *classes).endswith("thing 3 of 4")  # the vocabulary is made once
    begun = time.process_time()
    with suppress(InvalidField):
        named(repeated * (4000 // len(repeated)), *classes)
    assert time.process_time() - begun < 0.2


@given(st.text(max_size=60))
def test_no_prompt_whatever_fails_otherwise(prompt):
    with suppress(InvalidField):
        assert 0 <= prompts.match(prompt, contract(*CLASSES)) < 10
