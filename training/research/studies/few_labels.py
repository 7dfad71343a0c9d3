"""What images without labels are worth to a classifier where few have one: K + 1 classes, and features of an ordinary D.

Salimans et al. 2016 (arXiv 1606.03498, section 5), beside the same network taught by the labels alone; and the linear probe of
Radford et al. 2016 (arXiv 1511.06434, section 5.1), on the D of a run that was told no label.
"""

import contextlib
import json
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors.torch import load_model, save_model
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from training.classification.learning import EARLY, END, KNOWN, RECIPE, STOPS, alone, known, learning, right
from training.data.dataset import Dataset, Indices, Pixels, real_batches, to_float
from training.evaluation.report import table
from training.gan.networks.residual import Discriminator
from training.gan.state import new_state
from training.gan.step import Trainer, train_step
from training.presets import settings_of
from training.research.documents import save_json, save_picture
from training.research.studies.study import Program, Study
from training.settings import Settings

LABELS = (100, 1000)
DRAWS = 3
# Of `ns-r1`: narrower, without attention, and without labels.
CHANGES = {"width": 16, "attention": False, "conditional": False, "precision": "fp32"}
PROBES = ("linear, on pixels", "linear, on an untrained D", "linear, on the D of `ns-r1` without labels")
WAYS = (KNOWN, EARLY, END, *PROBES)

Features = Callable[[Pixels], NDArray[np.float32]]


def run(study: Study, picture: Path) -> dict[str, Any]:
    """The share of all test images that is named right, by draw of the labels; what an earlier process found is kept."""
    updates, dataset = study.updates // 2, study.dataset
    what = json.dumps([RECIPE, CHANGES, STOPS, updates, dataset.fingerprint])
    folder = study.work / f"few-labels-{zlib.crc32(what.encode()):08x}"
    seen = cache(lambda: features(dataset, updates, folder))
    parts: dict[str, Callable[[Indices, int], dict[str, float]]] = {
        "both": lambda rows, draw: {KNOWN: right(both(dataset, rows, updates, draw), dataset)},
        "alone": lambda rows, draw: alone(dataset, rows, updates, draw),
        "probes": lambda rows, _: probes(dataset, rows, seen()),
    }
    done = study.bar("few labels", DRAWS * len(LABELS) * len(parts))
    runs: dict[str, list[dict[str, float]]] = {str(count): [] for count in LABELS}
    for draw in range(DRAWS):
        for count in LABELS:
            rows = known(dataset, count, draw)
            figures: dict[str, float] = {}
            for name, part in parts.items():
                file = folder / f"{count}-{draw}-{name}.json"
                if not file.exists():
                    save_json(file, part(rows, draw))
                figures |= json.loads(file.read_text("utf-8"))
                done(1)
            runs[str(count)].append(figures)
    found = {"updates": updates, "images": len(dataset.test_images), "recipe": RECIPE, "runs": runs}
    found["shares"] = {
        count: {name: spread([one[name] for one in draws]) for name in WAYS} for count, draws in runs.items()
    }
    paint(found, picture)
    return found


def both(dataset: Dataset, rows: Indices, updates: int, seed: int) -> nn.Module:
    """D of K + 1 classes after all updates. rows: the images whose labels are known."""
    *_, taught = learning(dataset, rows, alone=False, updates=updates, seed=seed)
    return taught.classifier


def probes(dataset: Dataset, rows: Indices, seen: dict[str, tuple[Features, NDArray]]) -> dict[str, float]:
    """Of `features`. How much a weight costs is found by leaving out one label at a time."""
    found = {}
    for name, (of, test) in seen.items():
        probe = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-1, 5, 13)))
        probe.fit(of(dataset.images[rows]), dataset.labels[rows])
        found[name] = float(probe.score(test, dataset.test_labels))
    return found


def features(dataset: Dataset, updates: int, folder: Path) -> dict[str, tuple[Features, NDArray[np.float32]]]:
    """What the probes look at, by name, and what they see in the test images."""
    settings = settings_of("ns-r1", images=updates * Settings.batch, **CHANGES)
    nameless, cpu, file = dataset.as_one_class(), torch.device("cpu"), folder / "D.safetensors"
    untrained, state = (new_state(settings, nameless.spec, cpu) for _ in range(2))
    if file.exists():
        load_model(state.D, file)
    else:
        batches = real_batches(nameless, settings.seed, settings.batch, cpu)
        trainer = Trainer(settings, 1, cpu, batches, contextlib.nullcontext)
        while state.images_seen < settings.images:
            train_step(trainer, state)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(state.D, str(file))
    ways = [lambda images: to_float(images).flatten(1).numpy(), layers_of(untrained.D), layers_of(state.D)]
    return {name: (of, of(dataset.test_images)) for name, of in zip(PROBES, ways, strict=True)}


def layers_of(D: nn.Module) -> Features:
    """Every layer's, its largest of 4x4 places, as in Radford et al."""
    assert isinstance(D, Discriminator)

    @torch.inference_mode()
    def of(images: Pixels) -> NDArray[np.float32]:
        x, found = to_float(images), []
        for layer in (D.stem, *D.blocks):
            x = layer(x)
            found.append(F.adaptive_max_pool2d(x, 4).flatten(1))
        return torch.cat(found, dim=1).numpy()

    return lambda images: np.concatenate([of(images[i : i + 500]) for i in range(0, len(images), 500)])


def spread(values: list[float]) -> dict[str, float]:
    """Over the draws of the labels."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}


def paint(found: dict[str, Any], picture: Path) -> None:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    counts = list(found["shares"])
    for i, name in enumerate(WAYS):
        shares = [found["shares"][count][name] for count in counts]
        means, deviations = ([one[key] for one in shares] for key in ("mean", "deviation"))
        # Beside each other, or their errors would hide each other.
        places = np.arange(len(counts)) + (i - (len(WAYS) - 1) / 2) * 0.13
        axes.errorbar(places, means, deviations, fmt="o", ms=4, capsize=3, label=name.replace("`", ""))
    axes.set(xticks=range(len(counts)), xticklabels=[f"{int(count):,} labels" for count in counts])
    axes.set(ylabel=f"right of {found['images']:,} test images")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    save_picture(figure, picture)


def block(found: dict[str, Any]) -> str:
    shares = found["shares"]
    head = [
        f"right of {found['images']:,} test images, mean ± standard deviation over {DRAWS} draws of the labels"
    ]
    rows = [
        [name, *(f"{of[name]['mean']:.3f} ± {of[name]['deviation']:.3f}" for of in shares.values())]
        for name in WAYS
    ]
    return table(head + [f"{int(count):,} labels" for count in shares], rows)


PROGRAM = Program(run, block, of_model=False)
