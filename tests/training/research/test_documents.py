import pytest

from training.errors import UserError
from training.evaluation.report import table
from training.research.documents import filled, number

DOCUMENT = (
    "Before\n\n<!-- figures: one -->\nold\n<!-- /figures -->\n\n<!-- figures: two -->\n<!-- /figures -->\n"
)


def test_a_block_replaces_what_stood_between_its_markers_and_nothing_else():
    new = filled(DOCUMENT, {"one": "| 1 |", "two": r"\1"})
    assert "old" not in new
    assert "<!-- figures: one -->\n\n| 1 |\n\n<!-- /figures -->" in new
    assert "<!-- figures: two -->\n\n\\1\n\n<!-- /figures -->" in new
    assert filled(new, {"one": "| 1 |", "two": r"\1"}) == new


@pytest.mark.parametrize("document", ["nothing", DOCUMENT + DOCUMENT])
def test_a_block_without_its_one_place_is_an_error(document):
    with pytest.raises(UserError, match="figures: one"):
        filled(document, {"one": ""})


def test_numbers_keep_four_digits():
    assert [number(x) for x in (0.00026123, -1.38629, 16577.8, float("inf"))] == [
        "0.0002612",
        "-1.386",
        "16,578",
        "∞",
    ]


def test_a_table_is_markdown():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert table(["a", "b", "c"], [], words=["c"]).endswith("| --- | ---: | --- |")
