"""What InfoGAN's codes came to mean: python -m training.research.studies.codes RUN --data data/fashion-mnist.

How much Q finds of them again in generated images (Chen et al. 2016, Eq. 5), which classes of real images the categories are,
and what in the pictures moves with each continuous code, beside numbers of z that nobody asked to mean anything. No judge: Q, the
labels of held-out real images and the pixels say it. Figures as JSON and, where the page has its place, as a table.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.commands.sources import EXISTING, NEW_FILE, data
from training.data.dataset import Dataset, Pixels, to_float
from training.data.formats import load
from training.errors import UserError
from training.evaluation.generated import Source, open_run
from training.evaluation.report import table
from training.gan.losses import information_loss
from training.gan.networks import build_discriminator
from training.research.documents import fill_document, machine, save_json
from training.run.checkpoint import FILE_NAME, part, read
from training.settings import Settings

PLACE = "codes"
# As many standard deviations of a normal number as the ends of a uniform one are, so that both are moved alike.
_ENDS = 3**0.5
_BATCH = 500
Row = NDArray[np.float32]
Look = Callable[[Pixels], Tensor]


@click.command("codes")
@click.argument("run", type=EXISTING)
@data("The data set that it was trained on, with its classes.")
@click.option("--images", type=click.IntRange(_BATCH), default=5000, show_default=True)
@click.option("--out", type=NEW_FILE, default=Path("docs/codes.json"), show_default=True)
def command(run: Path, data: Path, images: int, out: Path) -> None:
    """Measure the codes of an InfoGAN's RUN, on one CPU thread."""
    torch.set_num_threads(1)
    dataset, source = load(data), open_run(run)
    header, tensors = read(run / FILE_NAME if run.is_dir() else run)
    settings = header.settings
    if settings.auxiliary != "codes":
        raise UserError(f"{run}: preset '{settings.preset}' has no codes")
    D = build_discriminator(settings, header.spec)
    D.load_state_dict(part(tensors, "D"))

    @torch.no_grad()
    def look(pictures: Pixels) -> Tensor:
        # By the statistics of the batch, as D was trained: those it keeps are of real and generated images together.
        parts = [to_float(one) for one in np.array_split(pictures, max(1, len(pictures) // _BATCH))]
        return torch.cat([D(one, torch.zeros(len(one), dtype=torch.int64), one)[1] for one in parts])

    z = source.drawn(range(images))
    found = {
        "run": {"preset": settings.preset, "images_seen": header.images_seen, "seed": settings.seed},
        "images": images,
        "dataset": dataset.name,
        "machine": machine(),
        "information": information(look(drawn(source, z)), z, settings),
        "categories": categories(look, dataset, settings),
        "numbers": numbers(source, z, settings),
    }
    save_json(out, found)
    document = out.parent / "systems.md"
    if document.exists():
        fill_document(document, {PLACE: block(found)})
    click.echo(block(found))


def drawn(source: Source, z: Row) -> Pixels:
    return np.concatenate([source.forward(z[i : i + _BATCH], None) for i in range(0, len(z), _BATCH)])


def information(found: Tensor, z: Row, settings: Settings) -> dict[str, Any]:
    """Of what Q finds in the images of z: the bound of each code, in nats; of the category at most log K. Errors: over batches."""
    M, numbers = settings.codes, torch.from_numpy(z)
    bounds: dict[str, list[float]] = {}
    for mine, of in zip(found.split(_BATCH), numbers.split(_BATCH), strict=True):
        for i in range(M):
            one = torch.cat([mine[:, [i, M + i]], mine[:, 2 * M :]], dim=1)
            code, category = information_loss(one, of[:, -1 - M + i, None], of[:, -1].long())
            bounds.setdefault(f"c{i + 1}", []).append(-float(code))
        bounds.setdefault("category", []).append(-float(category))
    return {name: _mean(np.array(values)) for name, values in bounds.items()}


def categories(look: Look, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """Of held-out real images: how far the category that Q finds says the class.

    purity: share of images that are of the commonest class of their category. chance: the same of categories dealt at random.
    """
    images, labels = dataset.test_images, dataset.test_labels
    # In random order: the statistics of a batch are those of all classes.
    order = np.random.default_rng(0).permutation(len(images))
    category = look(images[order])[:, 2 * settings.codes :].argmax(dim=1).numpy()
    labels = labels[order]
    count = np.zeros((settings.categories, len(dataset.class_names)), np.int64)
    np.add.at(count, (category, labels), 1)
    dealt = np.zeros_like(count)
    np.add.at(dealt, (np.random.default_rng(1).permutation(category), labels), 1)
    purity, n = float(count.max(axis=1).sum() / count.sum()), len(labels)
    commonest = [
        [dataset.class_names[k] for k in np.argsort(-row)[:2] if row[k] > row.sum() / 10] for row in count
    ]
    return {
        "purity": {"value": purity, "standard_error": (purity * (1 - purity) / n) ** 0.5},
        "chance": float(dealt.max(axis=1).sum() / n),
        "images": n,
        "commonest": [
            {"share": float(row.sum() / n), "purity": float(row.max() / max(row.sum(), 1)), "classes": names}
            for row, names in zip(count, commonest, strict=True)
        ],
    }


def numbers(source: Source, z: Row, settings: Settings) -> dict[str, Any]:
    """What changes with each number of z, moved from one end of its law to the other with all else kept; and what it explains."""
    first = settings.z_dim - 1 - settings.codes
    shown = attributes(drawn(source, z))
    found = {}
    for name, places, end in (
        *((f"c{i + 1}", [first + i], 1.0) for i in range(settings.codes)),
        ("numbers of z", list(range(first)), _ENDS),
    ):
        moved, explained = [], []
        for place in places:
            some = z[: len(z) // 20]
            ends = [np.array(some) for _ in range(2)]
            ends[0][:, place], ends[1][:, place] = -end, end
            low, high = (drawn(source, one).astype(np.float64) for one in ends)
            moved.append(np.abs(high - low).mean(axis=(1, 2, 3)))
            explained.append([explains(z[:, place], values, z[:, -1]) for values in shown.values()])
        best = np.max(explained, axis=0)
        found[name] = {
            "moved": _mean(np.concatenate(moved)) if len(places) == 1 else _mean(np.mean(moved, axis=1)),
            "most_moved": float(np.max(np.mean(moved, axis=1))),
            "explained": dict(zip(shown, map(float, best), strict=True)),
            "count": len(places),
        }
    return found


def explains(number: NDArray[Any], values: NDArray[Any], category: NDArray[Any]) -> float:
    """R² of a line within each category, of which each may mean another thing by a code: 0 to 1; about 1/500 by chance alone."""
    left = total = 0.0
    for each in np.unique(category):
        x, y = number[category == each].astype(np.float64), values[category == each]
        spread = float(np.square(y - y.mean()).sum())
        left += spread * (1 - np.corrcoef(x, y)[0, 1] ** 2)
        total += spread
    return 1 - left / total


def attributes(images: Pixels) -> dict[str, NDArray[np.float64]]:
    """Measured of each image, [N]: ink, its height and width (standard deviation of where it is), and how high it lies."""
    ink = images.astype(np.float64).mean(axis=1) + 1e-9
    total = ink.sum(axis=(1, 2))
    spread = {}
    for name, axis in (("height", 1), ("width", 2)):
        place = np.arange(ink.shape[axis])
        along = ink.sum(axis=3 - axis) / total[:, None]
        middle = along @ place
        spread[name] = np.sqrt(np.maximum(along @ place**2 - middle**2, 0))
        spread[f"{name} of the middle"] = middle
    return {
        "brightness": total,
        "height": spread["height"],
        "width": spread["width"],
        "place": spread["height of the middle"],
    }


def block(found: dict[str, Any]) -> str:
    rows, told = [], found["information"]
    for name, one in found["numbers"].items():
        bound = told.get(name)
        many = one["count"] > 1
        rows.append(
            [
                f"{one['count']} numbers of z" if many else name,
                f"{bound['value']:.2f} ± {bound['standard_error']:.2f}" if bound else "-",
                f"{one['moved']['value']:.1f} ± {one['moved']['standard_error']:.1f}"
                + (f" (most: {one['most_moved']:.1f})" if many else ""),
                *(f"{value:.2f}" for value in one["explained"].values()),
            ]
        )
    bound, real, run = told["category"], found["categories"], found["run"]
    rows.append(
        [
            "category",
            f"{bound['value']:.2f} ± {bound['standard_error']:.2f} of {math.log(len(real['commonest'])):.2f}",
            *["-"] * 5,
        ]
    )
    of = f"`{run['preset']}`, seed {run['seed']}, after {run['images_seen']:,} real images"
    each = "; ".join(
        f"{k}: {' and '.join(one['classes']) or 'none'} ({one['purity']:.2f})"
        for k, one in enumerate(real["commonest"])
    )
    purity = f"{100 * real['purity']['value']:.1f} ± {100 * real['purity']['standard_error']:.1f} %"
    words = (
        f"R²: what it explains of the picture within a category; of numbers of z the best of all. Of {real['images']:,} held-out real "
        f"images {purity} are of the commonest class of the category that Q finds ({100 * real['chance']:.1f} % where categories are "
        "dealt at random)."
    )
    head = [
        "number",
        "information that Q finds, nats",
        "grey levels moved",
        *(f"R² {name}" for name in next(iter(found["numbers"].values()))["explained"]),
    ]
    return "\n\n".join(
        [
            table(head, rows),
            f"{words} Categories, with their commonest classes and the first one's share: {each}.",
            f"*{found['dataset']}, {found['images']:,} generated images (moved: a twentieth); {of}; {found['machine']}.*",
        ]
    )


def _mean(values: NDArray[np.float64]) -> dict[str, float]:
    return {"value": float(values.mean()), "standard_error": float(values.std(ddof=1) / len(values) ** 0.5)}


if __name__ == "__main__":
    command()
