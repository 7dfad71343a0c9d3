import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from service.machine import instance

# The names are part of the API: dashboards and alerts stand on them.
NAMES = {
    "ganserve_requests_total": ("route", "code"),
    "ganserve_images_total": ("model",),
    "ganserve_cpu_seconds_total": (),
    "ganserve_key_requests_total": ("key", "code"),
    "ganserve_key_images_total": ("key",),
    "ganserve_forward_passes_total": ("model",),
    "ganserve_request_seconds": ("route",),
    "ganserve_queue_seconds": ("model",),
    "ganserve_forward_seconds": ("model",),
    "ganserve_encode_seconds": ("format",),
    "ganserve_batch_images": ("model",),
    "ganserve_infer_seconds": ("model", "outcome"),
    "ganserve_last_infer_timestamp_seconds": ("model",),
    "ganserve_queue_images": ("model",),
    "ganserve_refused_total": ("reason",),
    "ganserve_dropped_total": ("reason",),
    "ganserve_ready": (),
    "ganserve_model_info": ("model", "version", "engine", "precision", "provider"),
    "ganserve_version_requests_total": ("model", "version", "outcome"),
    "ganserve_version_seconds": ("model", "version"),
    "ganserve_traffic_share": ("model", "version"),
    "ganserve_watchdog_ends": (),
    "ganserve_model_loads_total": ("model",),
    "ganserve_golden_error_levels": ("model", "version", "statistic"),
    "ganserve_invariance_levels": ("model", "version"),
    "ganserve_quality_distance": ("model", "version", "figure"),
    "ganserve_quality_ratio": ("model", "version", "figure"),
    "ganserve_quality_floor": ("model", "version", "figure"),
    "ganserve_quality_limit": ("model", "version", "figure"),
    "ganserve_quality_seconds_total": ("model",),
}


def test_every_metric_of_the_api_is_there_with_its_labels():
    defined = {}
    for metric in vars(metrics).values():
        if hasattr(metric, "_labelnames") and hasattr(metric, "describe"):
            (family,) = metric.describe()
            defined[family.name + ("_total" if family.type == "counter" else "")] = metric._labelnames
    assert defined == NAMES


def test_the_exposition_is_what_prometheus_reads():
    metrics.requests.labels("/v1/samples", 200).inc()
    families = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert {name.removesuffix("_total") for name in NAMES} <= families


def test_a_histogram_in_which_nothing_was_counted_is_left_out():
    for model in ("counted-once", "never-counted"):
        metrics.queue_seconds.labels(model)
        metrics.forward_passes.labels(model)
    metrics.queue_seconds.labels("counted-once").observe(0.2)
    text = metrics.exposition().decode()
    assert 'ganserve_queue_seconds_bucket{le="0.2",model="counted-once"} 1.0' in text
    assert 'ganserve_queue_seconds_bucket{le="0.1",model="counted-once"} 0.0' in text
    assert [line.split("{")[0] for line in text.splitlines() if 'model="never-counted"' in line] == [
        "ganserve_forward_passes_total",
        "ganserve_forward_passes_created",
    ]


WORKER = """
import sys
from service import metrics
metrics.ready.set(int(sys.argv[1]))
metrics.forward_passes.labels("tiny").inc(3)
metrics.queue_images.labels("tiny").set(5)
metrics.model_info.labels("tiny", "0", "fake", "fp32", "none").set(1)
metrics.flush()
print("set", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def scrape(tmp_path, monkeypatch):
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv(instance.VARIABLE, str(tmp_path))

    def read() -> dict[str, float]:
        families = text_string_to_metric_families(metrics.exposition().decode())
        return {sample.name: sample.value for family in families for sample in family.samples}

    return read


def start_worker(ready: int) -> subprocess.Popen:
    root = Path(metrics.__file__).parents[1]
    command = [sys.executable, "-c", WORKER, str(ready)]
    worker = subprocess.Popen(
        command, cwd=root, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdout
    assert worker.stdout.readline() == b"set\n"
    return worker


def test_what_was_counted_is_in_the_files_after_a_flush_and_not_before(scrape):
    script = """
from service import metric_files, metrics
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
def on_disk():
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(metric_files.folder()))
    return registry.get_sample_value("ganserve_images_total", {"model": "tiny"})
child = metrics.images.labels("tiny")
child.inc(2)
child.inc(3)
before = on_disk()
metrics.flush()
after = on_disk()
child.inc()
metrics.flush()
print(before, after, on_disk())
"""
    root = Path(metrics.__file__).parents[1]
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=os.environ, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["None", "5.0", "6.0"]


def test_workers_are_added_up_and_a_killed_ones_gauges_are_forgotten(scrape):
    with start_worker(1) as first, start_worker(0) as second:
        both = scrape()
        assert both["ganserve_forward_passes_total"] == 6
        assert both["ganserve_queue_images"] == 10
        assert both["ganserve_ready"] == 0, "one worker that is not ready means not ready"
        assert both["ganserve_model_info"] == 1
        assert metrics.ready_workers() == 1
        second.kill()
        second.wait()
        left = scrape()
        assert left["ganserve_ready"] == 1
        assert left["ganserve_queue_images"] == 5
        assert left["ganserve_forward_passes_total"] == 6, "what was counted stays counted"
        first.kill()
