"""Figures of the documents are those of the results that they come from."""

import re

import msgspec
import pytest

from benchmarks.comparison import summary
from benchmarks.comparison.report import Run
from tests.docs import figures
from tests.docs.blocks import PAGES, ROOT

PERFORMANCE = (ROOT / "docs/performance.md").read_text()
MODELS = (ROOT / "docs/models.md").read_text()
README = (ROOT / "README.md").read_text()


def test_the_speeds_are_those_that_were_measured():
    (result,) = re.findall(r"\]\(\.\./(benchmarks/results/serving-shipped\S+)\.md\)", PERFORMANCE)
    run = msgspec.json.decode((ROOT / f"{result}.json").read_bytes(), type=Run)
    table = summary.table(run, "fashion-mnist")
    assert table in PERFORMANCE


def test_the_figures_are_those_of_the_model_card():
    card = (ROOT / "models/fashion-mnist/README.md").read_text()
    rows = [line for line in MODELS.partition("## Figures")[2].splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert [row for row in rows if row not in card] == []


@pytest.mark.parametrize("model", ["cifar10-colours", "fashion-edges", "sneaker-to-boot"])
def test_the_tables_of_generators_that_are_given_pictures_are_those_of_their_cards(model):
    card = (ROOT / f"models/{model}/README.md").read_text()
    rows = [line for line in card.partition("## Figures")[2].splitlines() if line.startswith("| ")]
    assert len(rows) > 4
    assert "\n".join(rows) in (ROOT / "docs/training.md").read_text()


def test_every_model_that_is_shipped_is_named():
    cards = re.findall(r"\]\(\.\./models/([\w-]+)/README\.md\)", MODELS.partition("## Figures")[0])
    assert sorted(cards) == sorted(card.parent.name for card in ROOT.glob("models/*/README.md"))


HELD = ("README.md", "docs/models.md", "docs/performance.md", "docs/studies.md", "docs/systems.md")


@pytest.mark.parametrize("page", [page for page in PAGES if any(figures.claims(page))])
def test_a_figure_that_names_its_source_is_what_stands_there(page):
    for claim in figures.claims(page):
        assert claim.figure in claim.before, f"{page}: no {claim.figure} stands before its source"
        if claim.address:
            number = figures.of(claim.source, claim.address)
            assert figures.is_rounded(claim.figure, number), (
                f"{page}: {claim.figure} is {number} in {claim.address}"
            )


@pytest.mark.parametrize("page", HELD)
def test_every_measured_figure_of_the_prose_names_its_source(page):
    claimed = {claim.figure for claim in figures.claims(page)}
    assert [figure for figure in figures.measured(figures.prose(page)) if figure not in claimed] == []


def test_a_figure_is_found_by_row_and_column_and_rounded_as_the_prose_has_it():
    page = "docs/systems.md"
    assert figures.of(page, "cgan | Fréchet distance #2") == 0.048
    assert figures.of(page, "lsgan | Fréchet distance over wgan | Fréchet distance") == 6.008 / 2.339
    with pytest.raises(LookupError):
        figures.of(page, "nobody | Fréchet distance")
    assert figures.is_rounded("2.57", 6.008 / 2.339)
    assert not figures.is_rounded("6.1", 6.008)
    assert figures.measured("at 3,139, of 3.11 or v1.2.3, in 10 of 4.") == ["3,139", "3.11"]
