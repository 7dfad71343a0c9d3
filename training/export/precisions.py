"""Images in fp32 and in other precisions from equal z, judged alike: what `auto` reads in a file before it takes another."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from service.generator.engines import cuda
from service.generator.engines.ort import CUDA_PRECISIONS
from training.evaluation.generated import Source, images_of, open_model
from training.evaluation.quality.comparison import Sample, Seen, look
from training.evaluation.quality.frechet import RESAMPLES, frechet_distance, frechet_error
from training.evaluation.reference import Reference, bar


def open_precisions(model: Path, threads: int = 0) -> list[Source]:
    """An exported model in fp32 and in what may be faster: on CUDA where there is a GPU, else by OpenVINO. Raises UserError: this machine lacks one."""
    gpu = cuda.device_count() > 0
    engine, names = ("onnxruntime", CUDA_PRECISIONS) if gpu else ("openvino", ("fp32", "bf16"))
    return [open_model(model, engine, precision, threads) for precision in names]


def precisions(sources: Sequence[Source], real: Reference, progress: Progress) -> list[dict[str, Any]]:
    """`quality["precisions"]`, as `service.generator.engines.choose.is_as_good` has it, a figure under `judge.name`.

    sources: of `open_precisions`. real: with the judges.
    """
    runs = []
    for source in sources:
        precision, figures = source.origin["precision"], {}
        images, labels = images_of(source, real.size, bar(progress, f"generate in {precision}", real.size))
        sample = Sample(images, labels if source.has_classes else None)
        done = bar(progress, f"compare {precision}", len(real.benches))
        for bench in real.benches:
            found = _figures(bench.held_out, look(bench.judge, sample))
            figures |= {f"{bench.judge.architecture}.{name}": figure for name, figure in found.items()}
            done(1)
        judges = [asdict(bench.settings) for bench in real.benches]
        run = {
            "engine": source.origin["engine"],
            "precision": precision,
            "images": real.size,
            "judges": judges,
        }
        runs.append(run | {"resamples": RESAMPLES, "figures": figures})
    return runs


def _figures(real: Seen, made: Seen) -> dict[str, dict[str, float]]:
    error = frechet_error(real.features, made.features, made.labels)
    found = {"frechet_distance": {"value": frechet_distance(real.features, made.features), "error": error}}
    if made.labels is not None:
        share = float(made.recognised.mean())
        error = (share * (1 - share) / len(made.labels)) ** 0.5
        found["class_accuracy"] = {"value": share, "error": error}
    return found
