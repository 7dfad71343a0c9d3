import click
import pytest

from training.commands.sample import class_index

NAMES = ("T-shirt/top", "Ankle boot", "C", "C++")


@pytest.mark.parametrize(
    ("label", "index"),
    [("Ankle boot", 1), ("ankle  BOOT", 1), ("ankle-boot", 1), ("t-shirt-top", 0), ("c++", 3), ("2", 2)],
)
def test_a_class_is_found_as_the_service_finds_it(label, index):
    assert class_index(label, NAMES) == index


@pytest.mark.parametrize("label", ["boot", "4", "-1", ""])
def test_what_is_no_class_is_told_with_what_is(label):
    with pytest.raises(click.UsageError, match=r"choose from T-shirt/top, .* or 0 to 3"):
        class_index(label, NAMES)
