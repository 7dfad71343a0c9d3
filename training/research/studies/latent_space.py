"""Between two latents, and sums of them: is z a space in which images change smoothly and attributes add up?

The walks and the vector arithmetic of Radford et al. 2016 (arXiv 1511.06434, sections 6.1 and 6.3.2), with an
attribute that can be measured: brightness, the mean grey level.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.generator.images import grid
from training.evaluation.report import table
from training.research.documents import number, save_picture
from training.research.studies.study import Program, Study, show

Latents = NDArray[np.float32]
Images = NDArray[np.uint8]

# Of a walk between two latents.
STEPS = 10
# Latents that are averaged, as Radford et al. found necessary.
EXEMPLARS = 3
# The share of a class's images that counts as bright, and as dark.
EXTREME = 0.1
SHOWN_WALKS, SHOWN_SUMS = 6, 3


def run(study: Study, picture: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    done = study.bar("walk", 2)
    walks, walk_images = walk(study, rng)
    done(1)
    sums, sum_images = add_up(study, rng)
    done(1)
    draw(walk_images, sum_images, picture)
    return {"pairs": pairs_of(study), "origin": study.source.origin, "walks": walks, "sums": sums}


def pairs_of(study: Study) -> int:
    return study.count // STEPS


def walk(study: Study, rng: np.random.Generator) -> tuple[dict[str, Any], Images]:
    """Walks between two latents of a class. Returns the figures, and the first walks: [SHOWN_WALKS, STEPS + 1, C, H, W]."""
    pairs = pairs_of(study)
    ends = study.source.drawn(range(2 * pairs))
    label = rng.integers(len(study.dataset.class_names), size=pairs)
    shares = np.linspace(0, 1, STEPS + 1, dtype=np.float32)
    path = np.stack([spherical(ends[:pairs], ends[pairs:], share) for share in shares], axis=1)
    images = images_at(study, path.reshape(-1, path.shape[2]), label.repeat(STEPS + 1))
    images = images.reshape(pairs, STEPS + 1, *images.shape[1:])
    steps, whole = grey_levels(images[:, 1:], images[:, :-1]), grey_levels(images[:, -1], images[:, 0])
    middles = {
        "an end of the walk": ends[:pairs],
        "its middle, spherical": spherical(ends[:pairs], ends[pairs:], 0.5),
        "its middle, linear": (ends[:pairs] + ends[pairs:]) / 2,
    }
    figures = {
        "whole": float(whole.mean()),
        "largest_step": float(steps.max(axis=1).mean() / whole.mean()),
        "middles": {
            name: {
                "norm": float(np.linalg.norm(z, axis=1).mean()),
                "class_accuracy": recognised(study, images_at(study, z, label), label),
            }
            for name, z in middles.items()
        },
    }
    return figures, images[:SHOWN_WALKS]


def spherical(start: Latents, end: Latents, share: float) -> Latents:
    """Along the great circle, so that the norm stays what a latent's is (White 2016, arXiv 1609.04468).

    start, end: [N, z_dim]. share: 0 (start) to 1 (end).
    """
    directions = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (start, end)]
    angle = np.arccos(np.clip((directions[0] * directions[1]).sum(axis=1, keepdims=True), -1, 1))
    return ((np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)).astype(
        np.float32
    )


def add_up(study: Study, rng: np.random.Generator) -> tuple[dict[str, Any], Images]:
    """bright A - dark A + dark B, for random classes A and B: is it a bright B?

    Returns the figures, and the first sums' four images: [SHOWN_SUMS, 4, C, H, W].
    """
    classes, trials = len(study.dataset.class_names), pairs_of(study)
    seeds = max(EXEMPLARS * STEPS, study.count // classes)
    z = study.source.drawn(range(seeds))
    everything = images_at(study, np.tile(z, (classes, 1)), np.arange(classes).repeat(seeds))
    by_brightness = brightness(everything).reshape(classes, seeds).argsort(axis=1)
    extreme = max(EXEMPLARS, round(EXTREME * seeds))
    dark, bright = by_brightness[:, :extreme], by_brightness[:, -extreme:]
    one = rng.integers(classes, size=trials)
    other = (one + rng.integers(1, classes, size=trials)) % classes

    def mean_of(group: NDArray[np.int64], chosen: NDArray[np.int64]) -> Latents:
        """Averages of EXEMPLARS latents, one for each trial. group: seeds of each class, [classes, M]."""
        return np.stack(
            [z[rng.choice(group[label], EXEMPLARS, replace=False)].mean(axis=0) for label in chosen]
        )

    bright_one, dark_one, dark_other = mean_of(bright, one), mean_of(dark, one), mean_of(dark, other)
    directions = {
        "dark B": np.zeros_like(dark_other),
        "dark B + bright A - dark A": bright_one - dark_one,
        "dark B + any A - another A": mean_of(by_brightness, one) - mean_of(by_brightness, one),
        "dark B + bright B - dark B": mean_of(bright, other) - mean_of(dark, other),
    }
    images = {name: images_at(study, dark_other + direction, other) for name, direction in directions.items()}
    before = brightness(images["dark B"])
    figures = {}
    for name, found in images.items():
        change = brightness(found) - before
        figures[name] = {
            "brightness": float(brightness(found).mean()),
            "brighter": float((change > 0).mean()),
            "standard_error": float(change.std(ddof=1) / np.sqrt(trials)),
            "class_accuracy": recognised(study, found, other),
        }
    terms = [images_at(study, bright_one, one), images_at(study, dark_one, one)]
    terms += [images["dark B"], images["dark B + bright A - dark A"]]
    return figures, np.stack([term[:SHOWN_SUMS] for term in terms], axis=1)


def images_at(study: Study, z: Latents, label: NDArray[np.int64]) -> Images:
    batch = study.source.batch
    parts = [study.source.forward(z[i : i + batch], label[i : i + batch]) for i in range(0, len(z), batch)]
    return np.concatenate(parts)


def recognised(study: Study, images: Images, label: NDArray[np.int64]) -> float:
    return float((study.judge(images).probabilities.argmax(axis=1) == label).mean())


def brightness(images: Images) -> NDArray[np.float64]:
    """[N]: the mean grey level, 0 to 255."""
    return images.reshape(len(images), -1).mean(axis=1)


def grey_levels(one: Images, other: Images) -> NDArray[np.float64]:
    """How far images are apart: the root of the mean squared difference over the last three axes."""
    return np.sqrt(((one.astype(np.float64) - other) ** 2).mean(axis=(-3, -2, -1)))


def draw(walks: Images, sums: Images, picture: Path) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[walks.shape[1], 6])
    show(left, grid(walks.reshape(-1, *walks.shape[2:]), walks.shape[1]))
    left.set(title="Walks between two latents of a class")
    show(right, grid(sums.reshape(-1, *sums.shape[2:]), sums.shape[1]))
    side = sums.shape[-1]
    right.set_xticks(
        [side * (column + 0.5) for column in range(4)], ["bright A", "- dark A", "+ dark B", "= this"]
    )
    right.tick_params(length=0, labelsize=7)
    right.set(title="Sums of latents")
    save_picture(figure, picture)


def block(found: dict[str, Any]) -> str:
    walks, pairs = found["walks"], found["pairs"]
    middles = table(
        [f"latents of {pairs:,} walks", "mean norm of z", "class accuracy"],
        [
            [name, number(one["norm"]), number(one["class_accuracy"])]
            for name, one in walks["middles"].items()
        ],
    )
    steps = (
        f"A walk of {STEPS} steps covers {number(walks['whole'])} grey levels from end to end (root mean square); its largest "
        f"step is {walks['largest_step']:.2f} of that. Ten equal steps on a straight line would be 0.10, a jump from one "
        "image to the other 1."
    )
    sums = table(
        [f"z, {pairs:,} times", "brightness, grey levels", "brighter than dark B", "class accuracy of B"],
        [
            [
                name,
                f"{one['brightness']:.1f} ± {one['standard_error']:.1f}"
                if one["standard_error"]
                else f"{one['brightness']:.1f}",
                f"{one['brighter']:.2f}" if one["standard_error"] else "",
                number(one["class_accuracy"]),
            ]
            for name, one in found["sums"].items()
        ],
    )
    return f"{steps}\n\n{middles}\n\n{sums}"


PROGRAM = Program(run, block)
