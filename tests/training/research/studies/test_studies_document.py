"""docs/studies.md says what `python -m training study` measured, and its words are true of that."""

import json
from pathlib import Path

import pytest

from training.research.documents import filled
from training.research.studies.command import PROGRAMS, block

DOCS = Path(__file__).parents[4] / "docs"
TEXT = (DOCS / "studies.md").read_text("utf-8")
STORED = {name: json.loads((DOCS / "studies" / f"{name}.json").read_text("utf-8")) for name in PROGRAMS}


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_tables_are_what_the_programs_wrote(name):
    assert filled(TEXT, {name: block(STORED[name], PROGRAMS[name])}) == TEXT


def test_it_shows_every_picture():
    pictures = sorted(file.name for file in (DOCS / "studies").glob("*.png"))
    assert pictures == sorted(f"{name}.png" for name in PROGRAMS)
    assert [name for name in pictures if f"(studies/{name})" not in TEXT] == []
    assert all((DOCS / "studies" / name).stat().st_size < 120_000 for name in pictures)


def test_what_it_says_of_the_inception_score_is_so():
    one, shipped, real = STORED["inception-score"]["samples"].values()
    assert one["inception_score"] > 0.995 * 10
    assert one["inception_score"] > shipped["inception_score"] > real["inception_score"]
    assert one["in_class_diversity"] < 1e-6
    assert one["recall"] == 0
    assert one["coverage"] < 0.02
    assert one["frechet_distance"] > 50 * shipped["frechet_distance"]


def test_what_it_says_of_truncation_is_so():
    levels, floors = STORED["truncation"]["levels"], STORED["truncation"]["floors"]
    for name, rises in (
        ("precision", False),
        ("density", False),
        ("class_accuracy", False),
        ("recall", True),
    ):
        values = [figures[name] for figures in levels.values()]
        assert values == sorted(values, reverse=not rises)
    distances = [figures["frechet_distance"] for figures in levels.values()]
    assert min(distances) == distances[-1]
    least, most = levels["0.1"], levels["1.0"]
    assert most["precision"] == pytest.approx(floors["precision"], abs=0.01)
    assert least["precision"] - most["precision"] == pytest.approx(0.035, abs=0.0005)
    assert (round(most["recall"], 2), round(least["recall"], 2)) == (0.93, 0.01)


def test_what_it_says_of_latents_is_so():
    walks, sums = STORED["latent-space"]["walks"], STORED["latent-space"]["sums"]
    ends, spherical, linear = walks["middles"].values()
    assert walks["largest_step"] < 0.5
    assert linear["norm"] / ends["norm"] == pytest.approx(0.7, abs=0.02)
    assert linear["class_accuracy"] > ends["class_accuracy"] >= spherical["class_accuracy"]
    dark, across, control, own = (one["brightness"] for one in sums.values())
    assert (across - dark) / (own - dark) == pytest.approx(5 / 6, abs=0.03)
    assert (control - dark) / (across - dark) == pytest.approx(1 / 12, abs=0.01)


def test_what_it_says_of_discriminator_steps_is_so():
    one, four = STORED["discriminator-steps"]["runs"].values()
    assert all(a["frechet_distance"] < b["frechet_distance"] for a, b in zip(one, four, strict=True))
    assert four[-1]["frechet_distance"] / one[-1]["frechet_distance"] == pytest.approx(2, abs=0.25)
    after = [
        {point["generator_updates"]: round(point["frechet_distance"], 1) for point in run}
        for run in (one, four)
    ]
    assert [(run[300], run[600]) for run in after] == [(5.5, 4.3), (4.6, 4.1)]
    for run in (one, four):
        assert run[-1]["loss_g"] > 1.3 * run[0]["loss_g"]
        assert run[-1]["frechet_distance"] < 0.36 * run[0]["frechet_distance"]
    assert all(
        correlation < -0.5 for correlation in STORED["discriminator-steps"]["rank_correlation"].values()
    )
    at_equal_quality = [next(p for p in run if p["frechet_distance"] < 4.3) for run in (one, four)]
    assert [round(p["loss_g"], 2) for p in at_equal_quality] == [0.99, 2.5]
    assert all(4.15 < p["frechet_distance"] < 4.3 for p in at_equal_quality)


def test_what_it_says_of_fine_tuning_is_so():
    nothing, tuned, frozen = (
        [one["frechet_distance"] for one in runs] for runs in STORED["fine-tuning"]["runs"].values()
    )
    assert all(after < before for before, after in zip(nothing, tuned, strict=True))
    assert sum(after > before for before, after in zip(nothing, frozen, strict=True)) == 1
    assert STORED["fine-tuning"]["updates"] // 6 // 2 == 500


def test_what_it_says_of_growing_is_so():
    floor, runs = STORED["growing"]["floor"], STORED["growing"]["runs"]
    (growing,), (full,) = runs["growing"], runs["full size from the start"]
    assert all(floor[name] < growing[name] < full[name] for name in floor)
    gains = [full[name] / growing[name] for name in floor if name.startswith("sliced")]
    assert gains == sorted(gains), "most in coarse structure"
    assert full["CPU seconds"] / growing["CPU seconds"] == pytest.approx(1.06, abs=0.005)
