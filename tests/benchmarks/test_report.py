from pathlib import Path

import msgspec
import pytest

from benchmarks.comparison import report
from benchmarks.comparison.load import Load
from benchmarks.comparison.raw_limit import RawLimit
from benchmarks.comparison.report import Cell, Failure, Run
from benchmarks.comparison.workloads import Workload

RAW = RawLimit("onnxruntime", "fp32", 2000.0, 8, pass_ms=0.6, p99_ms=0.7, memory_mb=100.0, ready_seconds=0.5)
MACHINE = {
    "cpu": "AMD EPYC 9B14",
    "cores": 2,
    "memory_gb": 16,
    "system": "Linux 6",
    "load_average": [0.1, 0.2, 0.3],
    "commit": "abc",
    "versions": {"python": "3.11.7"},
}
LONE, CROWD = Workload(1, "png", 1), Workload(1, "png", 64)


def cell(workload=CROWD, server="ganserve", requests=4500, livez=20.0, **of_load):
    answered = {"seconds": 3.0, "p50_ms": 40.0, "p99_ms": 48.0, "refused": 0, "lost": 0, **of_load}
    return Cell(
        *("fashion-mnist", workload, server, "onnxruntime", "fp32", Load(requests, **answered)),
        memory_mb=250.0,
        ready_seconds=2.0,
        other_cores=0.0,
        livez_p99_ms=livez,
    )


def run(*cells, **changes):
    return Run(MACHINE, {"seconds a load": 3}, raw={"fashion-mnist": [RAW]}, cells=list(cells), **changes)


def by_column(row):
    return dict(zip(report.HEADER, row, strict=True))


def test_every_figure_stands_beside_its_ratio_to_the_raw_limit():
    raw, ours = map(by_column, report.rows(run(cell())))
    assert raw["server"] == "raw limit, onnxruntime fp32, batch 8"
    assert raw["images/s"] == "2000"
    assert raw["p50 ms"] == "32.0"  # 64 images at 2000 a second
    assert ours["images/s"] == "1500 (0.75)"
    assert ours["p50 ms"] == "40.0 (1.25)"
    assert ours["p99 ms"] == "48.0 (1.50)"
    assert ours["memory MB"] == "250 (2.50)"
    assert ours["ready s"] == "2.00 (4.00)"
    assert ours["errors"] == "0"


def test_latency_of_a_lone_image_is_compared_with_a_lone_pass():
    raw, ours = map(by_column, report.rows(run(cell(LONE, p50_ms=1.2, p99_ms=1.8))))
    assert (raw["p50 ms"], raw["p99 ms"]) == ("0.600", "0.700")
    assert (ours["p50 ms"], ours["p99 ms"]) == ("1.20 (2.00)", "1.80 (3.00)")


def test_the_table_has_medians_of_the_alternations_and_sums_of_errors():
    _, ours = report.rows(
        run(cell(requests=3000, lost=1), cell(requests=6000, refused=300), cell(requests=4500))
    )
    assert by_column(ours)["images/s"] == "1500 (0.75)"
    assert by_column(ours)["errors"] == "300 refused, 1 lost"


def test_refused_requests_are_no_images():
    assert cell(requests=4500, refused=1500).images_per_second == 1000
    assert cell(Workload(16, "npy", 1), requests=30).images_per_second == 160
    assert cell(Workload(0, "npy", 16), requests=300).images_per_second == 5050


def test_a_server_that_answered_nothing_is_not_free_of_errors():
    _, ours = report.rows(run(cell(requests=0)))
    assert by_column(ours)["errors"] == "nothing answered"


def test_a_late_event_loop_shows():
    _, ours = report.rows(run(cell(livez=51.0)))
    assert by_column(ours)["/livez p99 ms"] == "51.0 TOO LATE"


def test_each_engine_stands_under_its_own_limit():
    other = msgspec.structs.replace(RAW, engine="openvino", images_per_second=4000.0)
    openvino = msgspec.structs.replace(cell(server="ganserve OpenVINO"), engine="openvino")
    result = run(cell(), openvino)
    result.raw["fashion-mnist"].append(other)
    servers = [(row[2], row[3]) for row in report.rows(result)]
    assert servers == [
        ("raw limit, onnxruntime fp32, batch 8", "2000"),
        ("ganserve", "1500 (0.75)"),
        ("raw limit, openvino fp32, batch 8", "4000"),
        ("ganserve OpenVINO", "1500 (0.38)"),
    ]


def test_figures_of_a_busy_machine_are_marked_in_the_table_and_in_the_files(tmp_path: Path):
    result = run(
        cell(), warnings=["the machine was not quiet"], failures=[Failure("large", "mosec", "it ended")]
    )
    path = report.save(result, tmp_path, "serving")
    assert path.name.startswith("serving_amd-epyc-9b14-2-cores_")
    table = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    assert "NOT VALID: the machine was not quiet" in table[2]
    assert "| large |  | mosec | failed: it ended |" in table[-1]
    assert {line.count("|") for line in table} == {len(report.HEADER) + 1}
    assert msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Run) == result


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.0123"), (1.234, "1.23"), (99.96, "100.0"), (13506.4, "13506")]
)
def test_numbers_have_three_digits_that_count(value, text):
    assert report.number(value) == text
