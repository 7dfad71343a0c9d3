"""What KServe V2 tells of a model: metadata, Triton's ModelConfig, statistics, the repository index."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from service.errors import UnknownModel
from service.generator.file.inputs import WEIGHTS
from service.generator.file.named import chosen_by_name
from service.generator.file.outputs import IMAGE
from service.registry.model import Model
from service.registry.models import Models
from service.settings import Settings

_STATES: dict[str, Literal["READY", "LOADING", "UNAVAILABLE"]] = {
    "ready": "READY",
    "loading": "LOADING",
    "failed": "UNAVAILABLE",
    "idle": "UNAVAILABLE",
}
Count = Annotated[int, Meta(ge=0)]
Counts = dict[tuple[str, str, str], float]


def version(model: Model) -> str:
    """The model's version in decimal: Triton's versions are whole numbers, which its load tools parse. May be empty."""
    return str(int(model.version, 16)) if model.version else ""


class TensorMetadata(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, str] = {}


class ModelMetadata(Struct):
    """$metadata_model_response."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]


class IndexEntry(Struct):
    """A row of $repository_index_response."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class Duration(Struct):
    count: Count
    ns: Count


class InferStats(Struct):
    success: Annotated[Duration, Meta(description="/v2 inferences answered with images.")]
    fail: Annotated[Duration, Meta(description="/v2 inferences refused by the queue, too late, or failed.")]
    queue: Annotated[Duration, Meta(description="Waiting for a forward pass, requests of all routes.")]
    compute_input: Annotated[Duration, Meta(description="0 ns: part of compute_infer.")]
    compute_infer: Annotated[
        Duration, Meta(description="Forward passes; one that requests share counts once.")
    ]
    compute_output: Annotated[Duration, Meta(description="0 ns: part of compute_infer.")]
    cache_hit: Annotated[Duration, Meta(description="0: nothing is cached.")]
    cache_miss: Annotated[Duration, Meta(description="0: nothing is cached.")]


class ModelStats(Struct):
    """$model_stat."""

    name: str
    version: str
    last_inference: Annotated[Count, Meta(description="Milliseconds since 1970 of the last /v2 inference.")]
    inference_count: Annotated[Count, Meta(description="Images answered, on all routes.")]
    execution_count: Annotated[Count, Meta(description="Forward passes, for all routes.")]
    inference_stats: InferStats
    batch_stats: Annotated[list[Any], Meta(description="Empty; /metrics has `ganserve_batch_images`.")]


def find(models: Models, name: str, wanted: str | None) -> Model:
    """Raises UnknownModel. wanted: the version, in decimal or as /v1 has it."""
    model = models.find(name)
    if wanted is None:
        return model
    every = models.versions[model.name]
    for one in every:
        if wanted in (version(one), one.version):
            return one
    known = ", ".join(version(one) for one in every)
    raise UnknownModel(f"Model {model.name} has version {known or 'none'}, not '{wanted[:64]}'.")


def metadata(model: Model, versions: Sequence[Model]) -> ModelMetadata:
    """Of a model that is ready; versions: all that it has."""
    return ModelMetadata(
        name=model.name,
        versions=[version(one) for one in versions if one.state == "ready"],
        platform="onnx",
        inputs=[TensorMetadata(name, datatype, [-1, *dims]) for name, datatype, dims in _inputs(model)],
        outputs=[
            TensorMetadata(
                name, datatype, [-1, *dims], {"layout": "NCHW"} if role == "image" else {"role": role}
            )
            for name, datatype, dims, role in _outputs(model)
        ],
        parameters={"version": model.version, "classes": model.contract.classes},
    )


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
    outputs = [
        {
            "name": name,
            "data_type": f"TYPE_{datatype}",
            "dims": dims,
            "label_filename": "",
            "is_shape_tensor": False,
        }
        for name, datatype, dims, _ in _outputs(model)
    ]
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
        "max_batch_size": image.most_images(settings.max_images_per_request),
        "input": inputs,
        "output": outputs,
        "dynamic_batching": {
            "preferred_batch_size": [model.loaded.max_batch],
            "max_queue_delay_microseconds": 0,
        },
        "instance_group": [
            {
                "name": model.name,
                "kind": "KIND_GPU" if model.engine.provider.startswith("CUDA") else "KIND_CPU",
                "count": len(model.engine.lanes),
            }
        ],
        "parameters": {name: {"string_value": value} for name, value in facts.items()},
        "model_transaction_policy": {"decoupled": False},
    }


def index_entry(model: Model) -> IndexEntry:
    idle = "not in memory; it is loaded when it is asked for"
    reason = idle if model.state == "idle" else model.problem
    return IndexEntry(model.name, version(model), _STATES[model.state], reason)


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


def stats(model: Model, counted: Counts) -> ModelStats:
    """What goes in and out of the engine is part of a forward pass; nothing is cached."""

    def count(sample: str, outcome: str = "") -> int:
        return round(counted.get((sample, model.name, outcome), 0))

    def duration(histogram: str, outcome: str = "") -> Duration:
        seconds = counted.get((f"{histogram}_sum", model.name, outcome), 0.0)
        return Duration(count(f"{histogram}_count", outcome), round(seconds * 1e9))

    passes = duration("ganserve_forward_seconds")
    beside, nothing = Duration(passes.count, 0), Duration(0, 0)
    last = counted.get(("ganserve_last_infer_timestamp_seconds", model.name, ""), 0.0)
    return ModelStats(
        name=model.name,
        version=version(model),
        last_inference=round(last * 1e3),
        inference_count=count("ganserve_images_total"),
        execution_count=count("ganserve_forward_passes_total"),
        inference_stats=InferStats(
            success=duration("ganserve_infer_seconds", "success"),
            fail=duration("ganserve_infer_seconds", "fail"),
            queue=duration("ganserve_queue_seconds"),
            compute_input=beside,
            compute_infer=passes,
            compute_output=beside,
            cache_hit=nothing,
            cache_miss=nothing,
        ),
        batch_stats=[],
    )


def _inputs(model: Model) -> list[tuple[str, str, list[int]]]:
    """Name, datatype, and shape after the batch axis.

    All are optional: z or seed is given, or an image, and label or weights of classes, scalars and a text may be.
    """
    contract = model.contract
    scalars = [(name, "FP32", []) for name in chosen_by_name(contract.declared)]
    label = [] if contract.classes is None else [("label", "INT64", [])]
    weights = [(WEIGHTS, "FP32", [contract.class_count])] if contract.mixes_classes else []
    scalars = scalars if contract.text is None else [("text", "BYTES", []), *scalars]
    seed = ("seed", "INT64", [])
    if (source := contract.source) is not None:
        image = ("image", "UINT8", [source.channels, source.height, source.width])
        return [image, *([seed] if contract.uses_seed else []), *label, *weights, *scalars]
    return [("z", "FP32", [contract.z_dim]), seed, *label, *weights, *scalars]


def _outputs(model: Model) -> list[tuple[str, str, list[int], str]]:
    """Name, datatype, shape after the batch axis, and role."""
    every = [
        (IMAGE if one.role == "image" else one.name, "UINT8" if one.role == "image" else "FP32", one)
        for one in model.contract.given
    ]
    return [(name, datatype, one.shape, one.role) for name, datatype, one in every]
