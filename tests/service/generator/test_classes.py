import pytest

from service.generator.classes import ClassNames, folded, slug


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("T-shirt/top", "t-shirt-top"),
        ("Ankle boot", "ankle-boot"),
        (" Café  au lait! ", "café-au-lait"),
        ("7", "7"),
        ("日本", "日本"),
        ("собака белая", "собака-белая"),
        ("हिन्दी भाषा", "हिन्दी-भाषा"),
        ("Straße", "strasse"),
        ("ＦＵＬＬ　width", "full-width"),
        ("snake_case_", "snake_case"),
        ("C", "c"),
        ("C++", "c-plus-plus"),
        ("C#", "c-sharp"),
        ("# 1 + 1", "1-1"),
        ("a\u0301", "á"),
        ("!?", ""),
    ],
)
def test_a_slug_has_the_letters_and_digits_of_every_script_joined_by_hyphens(name, written):
    assert slug(name) == written
    assert slug(written) == written
    assert slug(folded(name)) == written


def test_a_class_is_found_by_its_name_as_it_is_printed_in_any_case_and_by_its_slug():
    names = ClassNames(("Собака белая", "T-shirt/top", "Café", "C#", "3", "0"))
    assert names.faults == []
    for label, name in enumerate(names.names):
        for asked in (name, name.upper(), f" {name} ", names.slugs[label]):
            assert names.label_of[folded(asked)] == label
    assert names.label_of[folded("Cafe\u0301")] == 2


def test_names_that_clash_are_named_in_pairs_with_what_to_do():
    assert ClassNames(("cat", "dog", "Cat", "C", "C-", "--", "a\nb", "x" * 300)).faults == [
        "classes 0 and 2 have one name, 'Cat': rename one, as 'cat' is the same",
        "classes 3 and 4, 'C' and 'C-', are both 'c' in addresses: rename one",
        "class 5, '--', has neither a letter nor a digit: write it out",
        "class 6, 'a\\nb', has a line break or another character that can't be printed: write it without",
        f"class 7, '{'x' * 40}...', is longer than 200 bytes: shorten it",
    ]


@pytest.mark.parametrize(
    "code", [0xAD, 0x34F, 0x115F, 0x180E, 0x200B, 0x200D, 0x206A, 0x3164, 0xFE0F, 0xFFA0, 0xE0041]
)
def test_what_can_not_be_seen_is_in_no_name(code):
    for name in (f"a{chr(code)}b", f"a{chr(code)}", f"{chr(code)}a"):
        (fault,) = ClassNames(("dog", name)).faults
        assert fault.endswith("has a character that can't be seen: write it without")


def test_what_joins_letters_of_scripts_that_need_it_is_left():
    assert ClassNames(("می\u200cخواهم", "क्\u200dष", "family \U0001f468\u200d\U0001f469")).faults == []


def test_a_refusal_of_many_names_is_short():
    refusal = ClassNames(("same",) * 100).refusal()
    assert refusal is not None
    assert refusal.count("rename one") == 5
    assert refusal.endswith("; and 94 more")
    assert ClassNames(("cat", "dog")).refusal() is None


def test_what_makes_a_sign_an_emoji_may_follow_it():
    assert (
        ClassNames(("\u2764\ufe0f heart", "\U0001f5fa\ufe0f map", "\U0001f468\u200d\U0001f680 pilot")).faults
        == []
    )
