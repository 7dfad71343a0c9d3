"""One run of a comparison: exported, measured as it is served, and timed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from service.generator.contract import parse
from service.generator.loading import FILE
from training.evaluation.evaluate import Evaluation, evaluate_beside
from training.evaluation.generated import Source, open_model
from training.evaluation.reference import Reference
from training.export.export import export
from training.research.comparison.budget import Spent
from training.run.checkpoint import load_generator

SAMPLING_SECONDS, SAMPLING_ROUNDS = 0.2, 5


def measure(
    run: Path, model: Path, real: Reference, count: int, progress: Progress, about_data: str | None = None
) -> dict[str, Any]:
    """Exports the run's generator as `model`, with its figures and card. Returns what is known of it but its name, in JSON types.

    real: the real images and the judges, the reported one first. count: how many images were asked for.
    Raises UserError where the run has no checkpoint, or its file would not be served.
    """
    trained = load_generator(run)
    found: list[Evaluation] = []

    def evaluated(source: Source) -> Evaluation:
        found.append(evaluate_beside(real, source, progress, count))
        return found[0]

    export(trained, model, evaluated, threads=1, about_data=about_data)
    document = found[0].to_json()
    facts = facts_of(model)
    images, seconds = Spent.read(run)
    return {
        "seed": trained.settings.seed,
        "conditional": trained.class_names is not None,
        "images_planned": trained.settings.images,
        "images": images,
        "seconds": seconds,
        "parameters": facts["parameters"],
        "multiply_adds": facts["multiply_adds"],
        "sampling_images_per_second": round(sampling_speed(model), 1),
        "engine": {name: document["origin"][name] for name in ("engine", "precision")},
    } | figures_of(document)


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """What a comparison keeps of an `Evaluation.to_json`: all of the first judge, and the others beside it."""
    verdicts = document["verdicts"]
    accuracies = ("train_accuracy", "unseen_accuracy", "test_accuracy")
    return {
        "judges": [one["judge"] | {name: one[name] for name in accuracies} for one in verdicts],
        "evaluated_images": document["images"],
        "draws": document["draws"],
        "figures": verdicts[0]["figures"] | document["pixels"] | document["memory"],
        "others": {one["judge"]["architecture"]: one["figures"] for one in verdicts[1:]},
        "notes": document["notes"],
    }


def facts_of(model: Path) -> dict[str, Any]:
    """What the exported file says of its training and its graph."""
    return parse((model / FILE).read_bytes()).training


def sampling_speed(model: Path) -> float:
    """Images a second of CPU time by ONNX Runtime in fp32 on one thread, as many at a time as it serves (8).

    Wall time where it got a GPU. The best of five rounds: whatever else runs only slows one down.
    """
    source = open_model(model, "onnxruntime", "fp32", threads=1)
    clock = time.process_time if source.origin["provider"] == "CPUExecutionProvider" else time.monotonic
    z = source.drawn(range(source.batch))
    label = np.arange(source.batch) % len(source.classes) if source.classes else None
    source.forward(z, label)
    best = 0.0
    for _ in range(SAMPLING_ROUNDS):
        images, began = 0, clock()
        while (seconds := clock() - began) < SAMPLING_SECONDS:
            source.forward(z, label)
            images += source.batch
        best = max(best, images / seconds)
    return best
