"""The service's part, with a real `bentoml serve` on the CPU."""

import pytest

from benchmarks.gpu import service
from benchmarks.gpu.part import Part


@pytest.fixture
def part(tmp_path):
    return Part("service", tmp_path, seconds=300)


def test_loads_a_reload_and_a_drain_are_answered_without_an_error(part, monkeypatch):
    monkeypatch.setattr(service, "CONNECTIONS", (2,))
    monkeypatch.setattr(service, "DRAIN_SECONDS", 1.0)
    service.run(part)
    assert part.left_out == []
    assert part.failed == []
    assert [check["name"] for check in part.checks] == [
        "the service's provider",
        "one PNG, 2 connections",
        "16 raw, 2 connections",
        "reload under load",
        "both versions are ready",
        "drain under load",
        "the service ends",
    ]
    (png,) = (row for row in part.rows if row["what"] == "one PNG, 2 connections")
    assert png["answered"] == {"200": png["requests"]}
    assert 0 < png["p50_ms"] <= png["p99_ms"]
    assert png["share_of_raw"] > 0


def test_a_service_that_does_not_start_is_a_failed_check_with_its_reason(part, monkeypatch):
    real = service._environment
    monkeypatch.setattr(service, "_environment", lambda *given: real(*given) | {"GANSERVE_ENGINE": "abacus"})
    service.run(part)
    assert part.failed == ["the service starts"]
    assert "GANSERVE_ENGINE is 'abacus'" in part.checks[0]["text"]


def test_an_answer_that_is_an_error_fails_its_load(part):
    class Came:
        statuses = (200, 200, 500)

        def count(self, status):
            return self.statuses.count(status)

    service._count(part, "a load", Came(), (service.OK,))
    assert part.failed == ["a load"]
    assert part.rows[0]["answered"] == {"200": 2, "500": 1}
