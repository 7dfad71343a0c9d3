"""docs/theory.md says what `python -m training theory` measured, and its words are true of that."""

import json
from pathlib import Path
from statistics import median

import pytest
from PIL import Image

from tests.training.tiny import command
from training.research.documents import filled
from training.research.theory import discriminator, figures, plots, ring
from training.research.theory.command import PACES, RING_STEPS, blocks, ring_points
from training.research.theory.figures import SECTIONS, SEEDS
from training.research.theory.ring import RECIPES
from training.research.theory.rows import rows_from_json

DOCS = Path(__file__).parents[4] / "docs"
STORED = json.loads((DOCS / "theory" / "figures.json").read_text("utf-8"))
PICTURES = sorted(file.name for file in (DOCS / "theory").glob("*.png"))


def test_its_tables_are_what_the_program_wrote():
    text = (DOCS / "theory.md").read_text("utf-8")
    assert filled(text, blocks(STORED)) == text


def test_it_was_measured_in_full():
    assert STORED["seeds"] == list(SEEDS)
    assert STORED["ring_steps"] == RING_STEPS
    assert list(STORED["rows"]) == list(SECTIONS)
    assert {pace: list(cells) for pace, cells in STORED["ring"].items()} == {
        pace: list(RECIPES) for pace in PACES
    }


@pytest.mark.parametrize("section", SECTIONS)
def test_its_claims_hold(section):
    assert [row.claim for row in rows_from_json(STORED["rows"][section]) if not row.holds] == []


def test_what_it_says_of_mode_collapse_is_so():
    keeps_up, falls_behind, catches_up = (
        {name: [one["modes"] for one in seeds] for name, seeds in STORED["ring"][pace].items()}
        for pace in PACES
    )
    assert all(median(modes) == 8 for modes in (keeps_up | catches_up).values())
    steady = "Wasserstein, clipped"
    assert median(falls_behind[steady]) == 8
    assert all(median(modes) <= 6 for name, modes in falls_behind.items() if name != steady)


def test_it_shows_every_picture_and_none_that_is_not_there():
    text = (DOCS / "theory.md").read_text("utf-8")
    assert [name for name in PICTURES if f"(theory/{name})" not in text] == []
    assert text.count("](theory/") == len(PICTURES)
    assert all((DOCS / "theory" / name).stat().st_size < 120_000 for name in PICTURES)


def test_the_command_measures_and_draws_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(discriminator, "DRAWS", 300)
    for module in (figures, plots):
        monkeypatch.setattr(module, "CRITIC_STEPS", 20)
    # Fits to other draws than these must not be taken for them, here or in other tests.
    monkeypatch.setattr(discriminator, "fitted", discriminator.fitted.__wrapped__)
    out, work = tmp_path / "theory", tmp_path / "work"
    markers = "".join(f"<!-- figures: {name} -->\n<!-- /figures -->\n" for name in blocks(STORED))
    out.with_suffix(".md").write_text(markers)
    arguments = ("theory", "--out", out, "--work", work, "--ring-steps", 2, "--seeds", 1)
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "figures.json").read_text("utf-8"))
    assert out.with_suffix(".md").read_text("utf-8") == filled(markers, blocks(found))
    for name in PICTURES:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 250
    assert len(list(work.iterdir())) == len(PACES) * len(RECIPES)


def test_a_run_on_the_ring_that_is_there_is_not_run_again(tmp_path, monkeypatch):
    recipe, pace = RECIPES["hinge"], ring.KEEPS_UP
    points = ring_points(tmp_path, recipe, pace, 2, SEEDS)
    monkeypatch.setattr(ring, "trained", lambda *_: pytest.fail("it was run again"))
    assert ring_points(tmp_path, recipe, pace, 2, SEEDS).equal(points)
    with pytest.raises(pytest.fail.Exception):
        ring_points(tmp_path, recipe, ring.FALLS_BEHIND, 2, SEEDS)
