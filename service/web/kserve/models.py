"""What KServe V2 tells of a model: metadata, Triton's ModelConfig, statistics, the repository index."""

import time
from collections.abc import Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from service.registry.model import Model
from service.settings import Settings

_STATES = {"ready": "READY", "loading": "LOADING", "failed": "UNAVAILABLE", "idle": "UNAVAILABLE"}
Counts = dict[tuple[str, str, str], float]


def version(model: Model) -> str:
    """The model's version in decimal: Triton's versions are whole numbers, which its load tools parse. May be empty."""
    return str(int(model.version, 16)) if model.version else ""


def metadata(model: Model, versions: Sequence[Model]) -> dict[str, Any]:
    """$metadata_model_response of a model that is ready; versions: all that it has."""
    image = model.contract.image
    inputs = [
        {"name": name, "datatype": datatype, "shape": [-1, *dims]} for name, datatype, dims in _inputs(model)
    ]
    output = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [-1, image.channels, image.height, image.width],
        "parameters": {"layout": "NCHW"},
    }
    return {
        "name": model.name,
        "versions": [version(one) for one in versions if one.state == "ready"],
        "platform": "onnx",
        "inputs": inputs,
        "outputs": [output],
        "parameters": {"version": model.version, "classes": model.contract.classes},
    }


def config(model: Model, settings: Settings) -> dict[str, Any]:
    """Triton's ModelConfig as JSON. max_batch_size is the most images a request may ask for."""
    image = model.contract.image
    inputs = [
        {
            "name": name,
            "data_type": f"TYPE_{datatype}",
            "format": "FORMAT_NONE",
            "dims": dims,
            "optional": True,
        }
        for name, datatype, dims in _inputs(model)
    ]
    output = {
        "name": "image",
        "data_type": "TYPE_UINT8",
        "dims": [image.channels, image.height, image.width],
        "label_filename": "",
        "is_shape_tensor": False,
    }
    facts = {
        "layout": "NCHW",
        "version": model.version,
        "engine": model.engine.name,
        "precision": model.engine.precision,
        "provider": model.engine.provider,
    }
    return {
        "name": model.name,
        "platform": "onnx",
        "backend": model.engine.name,
        "version_policy": {"all": {}},
        "max_batch_size": settings.max_images_per_request,
        "input": inputs,
        "output": [output],
        "dynamic_batching": {
            "preferred_batch_size": [model.loaded.max_batch],
            "max_queue_delay_microseconds": 0,
        },
        "instance_group": [
            {
                "name": model.name,
                "kind": "KIND_GPU" if model.engine.buckets else "KIND_CPU",
                "count": len(model.engine.lanes),
            }
        ],
        "parameters": {name: {"string_value": value} for name, value in facts.items()},
        "model_transaction_policy": {"decoupled": False},
    }


def index_entry(model: Model) -> dict[str, str]:
    """A row of $repository_index_response."""
    return {
        "name": model.name,
        "version": version(model),
        "state": _STATES[model.state],
        "reason": "not in memory; it is loaded when it is asked for"
        if model.state == "idle"
        else model.problem,
    }


def note(model: Model, outcome: str, begun: float) -> None:
    """Count an inference. outcome: success or fail; begun: time.monotonic() seconds."""
    metrics.child(metrics.infer_seconds, model.name, outcome).observe(time.monotonic() - begun)
    metrics.child(metrics.last_infer, model.name).set(time.time())


def counts() -> Counts:
    """The metrics of all workers, by (sample, model, outcome)."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, sample.labels["model"], sample.labels.get("outcome", "")): sample.value
        for family in families
        for sample in family.samples
        if "model" in sample.labels and "le" not in sample.labels
    }


def stats(model: Model, counted: Counts) -> dict[str, Any]:
    """$model_stat. What goes in and out of the engine is part of a forward pass; nothing is cached."""

    def count(sample: str, outcome: str = "") -> int:
        return round(counted.get((sample, model.name, outcome), 0))

    def duration(histogram: str, outcome: str = "") -> dict[str, int]:
        seconds = counted.get((f"{histogram}_sum", model.name, outcome), 0.0)
        return {"count": count(f"{histogram}_count", outcome), "ns": round(seconds * 1e9)}

    passes = duration("ganserve_forward_seconds")
    nothing = {"count": 0, "ns": 0}
    return {
        "name": model.name,
        "version": version(model),
        "last_inference": round(
            counted.get(("ganserve_last_infer_timestamp_seconds", model.name, ""), 0.0) * 1e3
        ),
        "inference_count": count("ganserve_images_total"),
        "execution_count": count("ganserve_forward_passes_total"),
        "inference_stats": {
            "success": duration("ganserve_infer_seconds", "success"),
            "fail": duration("ganserve_infer_seconds", "fail"),
            "queue": duration("ganserve_queue_seconds"),
            "compute_input": {"count": passes["count"], "ns": 0},
            "compute_infer": passes,
            "compute_output": {"count": passes["count"], "ns": 0},
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def _inputs(model: Model) -> list[tuple[str, str, list[int]]]:
    """Name, datatype, and shape after the batch axis. All are optional: z or seed is given, and label may be."""
    inputs: list[tuple[str, str, list[int]]] = [
        ("z", "FP32", [model.contract.z_dim]),
        ("seed", "INT64", []),
    ]
    return inputs if model.contract.classes is None else [*inputs, ("label", "INT64", [])]
