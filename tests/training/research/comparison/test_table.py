import json
from pathlib import Path
from typing import Any

import pytest

from training.research.comparison.table import tables
from training.research.documents import filled

ROOT = Path(__file__).parents[4]


def run(preset: str, seed: int = 0, conditional: bool = True, **changes: Any) -> dict[str, Any]:
    figures = {
        "frechet_distance": {"value": 2.0, "floor": 0.02, "images": 10_000, "standard_error": None},
        "parzen_log_likelihood": {"value": 225.0, "floor": 356.0, "images": 9000, "standard_error": 2.04},
    }
    if conditional:
        figures["class_accuracy"] = {"value": 0.9, "floor": 0.92, "images": 10_000, "standard_error": None}
    return {
        "preset": preset,
        "seed": seed,
        "conditional": conditional,
        "images_planned": 1000,
        "images": 1000,
        "seconds": 120.0,
        "parameters": 500_000,
        "multiply_adds": 4_000_000,
        "sampling_images_per_second": 1500.0,
        "judges": [
            {"architecture": name, "seed": 1, "images": 360_000, "test_accuracy": 0.923}
            for name in ("residual", "plain")
        ],
        "others": {"plain": figures},
        "evaluated_images": 10_000,
        "figures": figures,
    } | changes


def comparison(*runs: dict[str, Any]) -> dict[str, Any]:
    words = {"dataset": "garments", "budget": {"minutes": 2.0}, "unit": "CPU time", "machine": "a machine"}
    return words | {"runs": list(runs)}


def cells(text: str, system: str) -> list[list[str]]:
    """The row of this system in each table, without its name."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row[1:] for row in rows if row[0] == system]


def test_every_figure_stands_under_its_floor():
    text = tables(comparison(run("gan", conditional=False), run("dcgan")))
    assert [row[0] for row in cells(text, "*real*")] == ["0.020", "-"]
    assert cells(text, "`dcgan`")[2][:2] == ["100.0", "100.0"], "by each judge, in units of its floor"
    assert [row[5] for row in (cells(text, "*real*")[0], cells(text, "`dcgan`")[0])] == ["0.920", "0.900"]
    assert "10,000 images of each system" in text
    assert "judge 'residual', 92.3 % right" in text


def test_several_seeds_are_mean_and_standard_deviation():
    def with_distance(seed: int, value: float) -> dict[str, Any]:
        figure = {"value": value, "floor": 0.02, "images": 10_000, "standard_error": None}
        figures = {"frechet_distance": figure}
        return run("gan", seed, figures=figures, others={}, seconds=120.0 + seed)

    text = tables(comparison(*(with_distance(seed, value) for seed, value in enumerate((1.0, 2.0, 3.0)))))
    near, _, judged, cost = cells(text, "`gan`, 3 seeds")
    assert (near[0], judged[0], cost[1]) == ("2.000 ± 1.000", "100.0 ± 50.0", "2")
    assert "their standard deviation" in text


def test_one_seed_shows_the_standard_error_where_there_is_one():
    assert cells(tables(comparison(run("gan"))), "`gan`")[1][6] == "225 (± 2.0)"


def test_one_seed_shows_the_larger_of_its_errors_and_the_floor_its_spread():
    figure = {"value": 2.0, "floor": 0.02, "images": 10_000, "standard_error": 0.1, "spread": 0.3}
    text = tables(comparison(run("gan", figures={"frechet_distance": figure | {"floor_spread": 0.002}})))
    assert cells(text, "`gan`")[0][0] == "2.000 (± 0.300)"
    assert cells(text, "*real*")[0][0] == "0.020 (± 0.002)"


def test_what_a_system_without_classes_lacks_is_a_dash_and_said():
    text = tables(comparison(run("gan", conditional=False), run("began", conditional=False), run("dcgan")))
    assert cells(text, "`gan`")[0][5] == "-"
    assert "-: `gan`, `began` are not told the class" in text


def test_cost_is_of_the_run_and_its_file():
    assert cells(tables(comparison(run("gan"))), "`gan`")[3] == [
        "1,000", "2", "8", "500,000", "4,000,000", "1,500",
    ]  # fmt: skip


def test_runs_that_stopped_or_are_under_way_are_said():
    bare = {"preset": "wgan", "seed": 1, "images_planned": 1000, "images": 300, "seconds": 3.0}
    reason = {"reason": "Mode collapse: all alike. Try another learning rate."}
    text = tables(comparison(run("gan") | reason, bare, bare | {"preset": "sagan"} | reason))
    assert "`gan` (stopped)" in text
    assert (
        "- `gan`, seed 0, stopped itself; measured is its last checkpoint: Mode collapse: all alike.\n"
        in text
    )
    assert "- `sagan`, seed 1, stopped itself: Mode collapse: all alike.\n" in text
    assert "- `wgan`, seed 1: unfinished, 300 of 1,000 images." in text
    assert "learning rate" not in text


def test_nothing_measured_is_no_table():
    bare = {"preset": "wgan", "seed": 1, "images_planned": 1000, "images": 300, "seconds": 3.0}
    assert "| system |" not in tables(comparison(bare))


@pytest.mark.parametrize("name", ["systems", "systems-auxiliary", "systems-classes", "recipe"])
def test_the_tables_of_the_document_are_those_of_the_results(name):
    text = (ROOT / f"docs/{name.partition('-')[0]}.md").read_text("utf-8")
    expected = tables(json.loads((ROOT / f"docs/{name}.json").read_text("utf-8")))
    assert filled(text, {name: expected}) == text
