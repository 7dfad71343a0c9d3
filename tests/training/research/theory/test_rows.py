import json
import math

from training.research.theory.rows import Row, about, allowed, rows_from_json, rows_table, rows_to_json, worst


def test_a_row_holds_between_its_bounds():
    assert about("", 2.0, 2.1, 0.2, "").holds
    assert not about("", 2.0, 2.3, 0.2, "").holds
    assert not Row("", 2.0, math.inf, math.inf, "").holds
    assert Row("", math.inf, math.inf, math.inf, "").holds


def test_the_worst_seed_is_the_one_nearest_to_its_bound_or_beyond():
    seeds = [[about("", measured, 0, 1, "")] for measured in (0.1, -0.8, 0.5)]
    assert worst(seeds)[0].measured == -0.8
    assert worst([*seeds, [about("", 1.1, 0, 1, "")]])[0].measured == 1.1
    assert worst([*seeds, [Row("", math.inf, 0, 1, "")]])[0].measured == math.inf


def test_rows_come_back_from_json_with_infinities():
    rows = [Row("a", math.inf, math.inf, math.inf, "b"), Row("c", 1.5, 1, math.inf, "d")]
    assert rows_from_json(json.loads(json.dumps(rows_to_json(rows), allow_nan=False))) == rows


def test_what_is_allowed_reads_as_a_value_and_a_tolerance_or_as_a_range():
    assert allowed(about("", 8, 8, 0.00045, "")) == "8 ± 0.00045"
    assert allowed(Row("", 0, 0, 0.02565, "")) == "0 to 0.02565"
    assert allowed(Row("", 2, 1, math.inf, "")) == "at least 1"
    assert rows_table([Row("x", math.inf, math.inf, math.inf, "why")], 5).endswith("| x | ∞ | ∞ | why |")
