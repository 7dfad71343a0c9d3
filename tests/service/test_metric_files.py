import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from service.machine import instance

ROOT = Path(__file__).parents[2]


def run(folder: Path, script: str) -> str:
    """What a process prints that has imported service.metrics as a worker does."""
    (folder / "metrics").mkdir(exist_ok=True)
    environ = os.environ | {instance.VARIABLE: str(folder)}
    program = f"from service import metrics\n{script}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    ).stdout


def sample(folder: Path, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder / "metrics"))
    return registry.get_sample_value(name, labels)


def test_prometheus_client_reads_what_is_written(tmp_path):
    run(
        tmp_path,
        """
for size in range(1, 40):
    metrics.images.labels("m" * size + "é").inc(size)
metrics.queue_images.labels("tiny").set(7)
metrics.forward_seconds.labels("tiny").observe(0.003)
metrics.flush()
metrics.images.labels("late").inc(0.5)
metrics.flush()
""",
    )
    for size in range(1, 40):
        assert sample(tmp_path, "ganserve_images_total", model="m" * size + "é") == size
    assert sample(tmp_path, "ganserve_images_total", model="late") == 0.5
    assert sample(tmp_path, "ganserve_queue_images", model="tiny") == 7
    assert sample(tmp_path, "ganserve_forward_seconds_bucket", model="tiny", le="0.005") == 1
    assert sample(tmp_path, "ganserve_forward_seconds_bucket", model="tiny", le="0.002") == 0
    assert not list((tmp_path / "metrics").glob("*.new"))


@pytest.mark.parametrize("limit", ["0", "2000"])
def test_where_nothing_can_be_written_a_worker_tells_its_own_figures_and_goes_on(tmp_path, limit):
    """A limit on the size of files, since a test can't fill the disk."""
    told = run(
        tmp_path,
        f"""
import resource
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
metrics.images.labels("first").inc(3)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, most))
for number in range(100):
    metrics.images.labels(f"model-{{number}}").inc(number)
assert not metrics.flush()
print(metrics.exposition().decode())
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert metrics.flush()
""",
    )
    samples = {
        one.labels.get("model"): one.value
        for family in text_string_to_metric_families(told)
        for one in family.samples
        if one.name == "ganserve_images_total"
    }
    assert samples == {"first": 3} | {f"model-{number}": number for number in range(100)}
    assert sample(tmp_path, "ganserve_images_total", model="model-99") == 99, "written when it can be"


def test_files_that_were_taken_away_are_written_anew_and_it_is_said(tmp_path):
    told = run(
        tmp_path,
        f"""
import logging, shutil, sys
logging.basicConfig(stream=sys.stdout)
metrics.images.labels("tiny").inc(3)
metrics.flush()
shutil.rmtree({str(tmp_path / "metrics")!r})
metrics.images.labels("tiny").inc(4)
assert metrics.flush()
assert b'ganserve_images_total{{model="tiny"}} 7.0' in metrics.exposition()
""",
    )
    assert "was removed, and is written anew" in told
    assert sample(tmp_path, "ganserve_images_total", model="tiny") == 7


def test_a_worker_that_ended_is_noticed_and_this_one_is_none(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    run(
        tmp_path,
        f"""
from pathlib import Path
metrics.flush()
assert not metrics.a_worker_died()
(Path({str(tmp_path)!r}) / "metrics" / "counter_{dead.pid}.db").write_bytes(bytes(8))
assert metrics.a_worker_died()
""",
    )
