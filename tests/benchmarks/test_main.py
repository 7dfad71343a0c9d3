from dataclasses import replace

import msgspec
import pytest

from benchmarks.__main__ import judge
from benchmarks.comparison import summary
from benchmarks.comparison.bench import Plan
from tests.benchmarks.test_report import CROWD, LONE, cell, run

PLAN = Plan([], ["fashion-mnist"], [LONE, CROWD], alternations=3, seconds=2)


@pytest.mark.parametrize(("others", "disturbed"), [((0.0, 0.6, 0.1), False), ((0.0, 0.6, 0.3), True)])
def test_others_spoil_a_median_only_if_they_were_there_most_of_the_time(others, disturbed):
    one = run(*(msgspec.structs.replace(cell(), other_cores=cores) for cores in others), cell(LONE))
    judge(one, PLAN)
    assert [warning[:25] for warning in one.warnings] == ["the machine was not quiet"] * disturbed


def test_too_few_alternations_are_no_result():
    one = run(cell())
    judge(one, replace(PLAN, alternations=2))
    assert one.warnings == ["fewer than 3 alternations"]


def test_the_short_table_has_a_row_a_server_with_rate_ratio_p99_and_what_was_lost():
    one = run(cell(), cell(server="mosec", refused=3), cell(LONE, requests=1200, p99_ms=1.5))
    _, _, raw, ours, theirs = (line.split(" | ") for line in summary.table(one, "fashion-mnist").splitlines())
    assert raw[0] == "| *raw limit*"
    assert ours[1] == "400 (0.20), 1.50"
    assert ours[3] == "1500 (0.75), 48.0"
    assert theirs[3] == "1499 (0.75), 48.0, 3 refused or lost"
    assert theirs[1] == ""
