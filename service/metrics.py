"""Every Prometheus metric. The names are part of the API.

BentoML sets PROMETHEUS_MULTIPROC_DIR before a worker imports this, so each worker writes its own
files and any worker answers for all. Label values come from the code, from the models that were loaded
and from the keys that were configured, never from a client.
"""

import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import psutil
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    values,
)
from prometheus_client import generate_latest as _generate
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_pid = os.getpid()
# A worker stays one process; by default each increment asks the kernel which.
_FileValue = values.MultiProcessValue(lambda: _pid)
_unwritten: "set[_BufferedValue]" = set()


class _BufferedValue:
    """A number in memory, and `flush` writes it to the file that other workers read.

    A sample changes a dozen of them; written through, they took a fifth of its way through this process.
    """

    _multiprocess = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._file = _FileValue(*args, **kwargs)
        self._lock = Lock()
        self._value: float = self._file.get()

    def inc(self, amount: float) -> None:
        with self._lock:
            self._value += amount
        _unwritten.add(self)

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._value = value
        _unwritten.add(self)

    def get(self) -> float:
        return self._value

    def flush(self) -> None:
        self._file.set(self._value)


if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    values.ValueClass = _BufferedValue  # pyright: ignore[reportAttributeAccessIssue]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

requests = Counter(
    "ganserve_requests_total", "Requests answered, by route pattern and status.", ["route", "code"]
)
images = Counter("ganserve_images_total", "Images answered.", ["model"])
key_requests = Counter(
    "ganserve_key_requests_total", "Requests made with an API key, by its name and status.", ["key", "code"]
)
key_images = Counter("ganserve_key_images_total", "Images answered, by API key.", ["key"])
forward_passes = Counter("ganserve_forward_passes_total", "Forward passes of the generator.", ["model"])
refused = Counter("ganserve_refused_total", "Requests refused before they were queued.", ["reason"])
dropped = Counter(
    "ganserve_dropped_total", "Accepted requests that were not answered with images.", ["reason"]
)

request_seconds = Histogram(
    "ganserve_request_seconds",
    "From the request's head to the reply handed over.",
    ["route"],
    buckets=_SECONDS,
)
queue_seconds = Histogram(
    "ganserve_queue_seconds", "From acceptance to the first forward pass.", ["model"], buckets=_SECONDS
)
forward_seconds = Histogram("ganserve_forward_seconds", "One forward pass.", ["model"], buckets=_SECONDS)
encode_seconds = Histogram(
    "ganserve_encode_seconds", "Pixels to bytes, one reply.", ["format"], buckets=_SECONDS
)
batch_images = Histogram("ganserve_batch_images", "Images in one forward pass.", ["model"], buckets=_IMAGES)
# As Triton's statistics have them; those of forward passes count all routes alike, as Triton's do too.
infer_seconds = Histogram(
    "ganserve_infer_seconds",
    "A KServe V2 inference, from the request's head to the reply.",
    ["model", "outcome"],
    buckets=_SECONDS,
)
last_infer = Gauge(
    "ganserve_last_infer_timestamp_seconds",
    "When a KServe V2 inference was last answered, in seconds since 1970.",
    ["model"],
    multiprocess_mode="max",
)

queue_images = Gauge(
    "ganserve_queue_images", "Images waiting for a forward pass.", ["model"], multiprocess_mode="livesum"
)
ready = Gauge("ganserve_ready", "1 when every worker is ready for requests.", multiprocess_mode="livemin")
model_info = Gauge(
    "ganserve_model_info",
    "1 for each version that is ready, 0 once it was retired.",
    ["model", "version", "engine", "precision", "provider"],
    multiprocess_mode="livemax",
)
# What tells a canary from the version beside it; versions are those of files, so they are few.
version_requests = Counter(
    "ganserve_version_requests_total",
    "Requests that were queued, by how they ended: answered, failed, deadline or disconnect.",
    ["model", "version", "outcome"],
)
version_seconds = Histogram(
    "ganserve_version_seconds",
    "From acceptance to the answer, of requests that were answered.",
    ["model", "version"],
    buckets=_SECONDS,
)
traffic_share = Gauge(
    "ganserve_traffic_share",
    "Share that a version is to get of the requests that name no version.",
    ["model", "version"],
    multiprocess_mode="livemax",
)
golden_error_levels = Gauge(
    "ganserve_golden_error_levels",
    "Difference to the golden samples at load, in uint8 levels.",
    ["model", "version", "statistic"],
    multiprocess_mode="livemax",
)


Metric = TypeVar("Metric", bound=MetricWrapperBase)


@cache
def child(metric: Metric, *labels: object) -> Metric:
    """`metric.labels(*labels)`, found again in a twentieth of the time."""
    return metric.labels(*labels)


def flush() -> None:
    """Make what was counted visible to all workers."""
    while _unwritten:
        _unwritten.pop().flush()


def exposition() -> bytes:
    """All workers' metrics in Prometheus' text format, those of others as they last flushed them."""
    flush()
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not directory:
        return _generate(REGISTRY)
    _forget_dead_workers(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    return _generate(registry)


def ready_workers() -> int:
    """How many of this machine's workers say that they are ready."""
    flush()
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not directory:
        return int(REGISTRY.get_sample_value("ganserve_ready") or 0)
    _forget_dead_workers(Path(directory))
    files = Path(directory).glob("gauge_livemin_*.db")
    families = [family for file in files for family in MultiProcessCollector.merge([str(file)])]
    return sum(
        int(sample.value)
        for family in families
        if family.name == "ganserve_ready"
        for sample in family.samples
    )


def _forget_dead_workers(directory: Path) -> None:
    """A killed worker's gauges would stay for ever: its queue length, its readiness. Its counters must stay."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(directory))
