"""Every Prometheus metric. The names are part of the API.

Each worker writes its own files, in a folder that they share, and any worker answers for all. BentoML's own folder for
that (PROMETHEUS_MULTIPROC_DIR) is one for all services of a BENTOML_HOME, and emptied whenever one starts.

Label values come from the code, from the models that were loaded and from the keys that were configured, never from a
client.
"""

import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

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

from service import metric_files

log = logging.getLogger("bentoml.ganserve.metrics")

if metric_files.folder():
    values.ValueClass = metric_files.FileValue  # pyright: ignore[reportAttributeAccessIssue]

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
cpu_seconds = Counter("ganserve_cpu_seconds_total", "CPU time of the workers.")
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
model_loads = Counter(
    "ganserve_model_loads_total",
    "Times that a model was loaded: at the start, for an order, or because it was asked for and not in memory.",
    ["model"],
)
traffic_share = Gauge(
    "ganserve_traffic_share",
    "Share that a version is to get of the requests that name no version.",
    ["model", "version"],
    multiprocess_mode="livemax",
)
watchdog_ends = Gauge(
    "ganserve_watchdog_ends",
    "Processes of a service at this address that the watchdog has ended, as long as /tmp lasts.",
    multiprocess_mode="max",
)
golden_error_levels = Gauge(
    "ganserve_golden_error_levels",
    "Difference to the golden samples at load, in uint8 levels.",
    ["model", "version", "statistic"],
    multiprocess_mode="livemax",
)
invariance_levels = Gauge(
    "ganserve_invariance_levels",
    "Most by which an image differed at load, in a batch and alone, in uint8 levels; 0: not a bit.",
    ["model", "version"],
    multiprocess_mode="livemax",
)
# The quality watch: of several workers the worst. A version that is not served any more has NaN.
quality_distance = Gauge(
    "ganserve_quality_distance",
    "Frechet distance of the last images to real ones, in the judge's features; the lower the better.",
    ["model", "version", "figure"],
    multiprocess_mode="livemax",
)
quality_ratio = Gauge(
    "ganserve_quality_ratio",
    "Class accuracy and in-class diversity of the last images, and the least of a class; the higher the better.",
    ["model", "version", "figure"],
    multiprocess_mode="livemin",
)
quality_floor = Gauge(
    "ganserve_quality_floor",
    "What as many real images reach in the generated ones' place.",
    ["model", "version", "figure"],
    multiprocess_mode="livemax",
)
quality_limit = Gauge(
    "ganserve_quality_limit",
    "What the model was never worse than when it was exported.",
    ["model", "version", "figure"],
    multiprocess_mode="livemax",
)
quality_seconds = Counter(
    "ganserve_quality_seconds_total",
    "Seconds of lanes, and of judges, that the quality watch took.",
    ["model"],
)


Metric = TypeVar("Metric", bound=MetricWrapperBase)


@cache
def child(metric: Metric, *labels: object) -> Metric:
    """`metric.labels(*labels)`, found again in a twentieth of the time."""
    return metric.labels(*labels)


def flush() -> bool:
    """Make what was counted visible to all workers. False, and logged once, where it can't be written."""
    global _is_written, _cpu_seconds
    used = time.process_time()
    cpu_seconds.inc(used - _cpu_seconds)
    _cpu_seconds = used
    was_written = _is_written
    try:
        metric_files.flush()
        _is_written = True
    except OSError as error:
        _is_written = False
        if was_written:
            text = "metrics are not written, and /metrics has those of one worker only: %s"
            log.error(text, error, extra={"event": "metrics_unwritten"})
    return _is_written


_is_written = True
_cpu_seconds = 0.0
"""Of this process, as it was counted last."""


def exposition() -> bytes:
    """All workers' metrics in Prometheus' text format, those of others as they last flushed them."""
    written = flush()
    folder = metric_files.folder()
    registry = CollectorRegistry()
    if folder is None or not written:
        registry.register(metric_files.Busy(REGISTRY))
    else:
        _forget_dead_workers(folder)
        registry.register(metric_files.Busy(MultiProcessCollector(None, str(folder))))
    return _generate(registry)


def a_worker_died() -> bool:
    """Whether one of this machine's workers has ended that wrote metrics since the start."""
    files = (metric_files.folder() or Path(os.devnull)).glob("counter_*.db")
    return any(not psutil.pid_exists(_pid_of(file)) for file in files)


class Totals(NamedTuple):
    """Of all models and workers."""

    images: float
    passes: float
    queue: int
    """Images that wait."""


def totals() -> Totals:
    """A few numbers, for a hundredth of what `exposition` takes."""
    flush()
    if (folder := metric_files.folder()) is None:
        families = [*images.collect(), *forward_passes.collect(), *queue_images.collect()]
    else:
        _forget_dead_workers(folder)
        files = [str(file) for kind in ("counter_*", "gauge_livesum_*") for file in folder.glob(f"{kind}.db")]
        families = MultiProcessCollector.merge(files)
    sums: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    names = ("ganserve_images_total", "ganserve_forward_passes_total", "ganserve_queue_images")
    answered, passes, waiting = (sums.get(name, 0.0) for name in names)
    return Totals(answered, passes, round(waiting))


def ready_workers() -> int:
    """How many of this machine's workers say that they are ready."""
    flush()
    folder = metric_files.folder()
    if folder is None:
        return int(REGISTRY.get_sample_value("ganserve_ready") or 0)
    _forget_dead_workers(folder)
    files = folder.glob("gauge_livemin_*.db")
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
        if not psutil.pid_exists(pid := _pid_of(file)):
            mark_process_dead(pid, str(directory))


def _pid_of(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])
