"""How good translated pictures are, of held-out ones: near the real picture, where there is one, and as sharp and recognisable as real ones."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.data.dataset import Dataset, Pixels
from training.evaluation.quality.comparison import Value, mean, recognised, standard_error
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import JudgeSettings
from training.evaluation.quality.nearest import nearest_training
from training.evaluation.reference import floor_samples, size_of
from training.evaluation.report import table as markdown
from training.evaluation.report import with_error
from training.translation.rules import domains, gradient, rule_of
from training.translation.run import Translator

_AT_ONCE = 500


# Title and digits.
HEADINGS = {
    "change": ("from what went in, grey levels", 2),
    "cycle": ("there and back, grey levels", 2),
    "l1": ("L1, grey levels", 2),
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 4),
    "sharpness": ("sharpness over real", 3),
    "class_accuracy": ("class accuracy", 4),
    "frechet_distance": ("Fréchet distance", 4),
}
FLOOR = "other real images"
ITSELF, NEAREST = "the picture itself", "the nearest real picture"
BASELINES = ITSELF, NEAREST, FLOOR

Way = Callable[[Pixels], Pixels]


def l1(made: Pixels, real: Pixels) -> NDArray[np.float64]:
    """Of each picture the mean absolute difference, in levels of 0 to 255. made, real: uint8 [N, C, H, W]. Returns [N]."""
    return np.abs(made.astype(np.int16) - real).mean(axis=(1, 2, 3))


def psnr(made: Pixels, real: Pixels) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture in dB, [N]; equal ones count as if one pixel were one level off."""
    error = np.square(made.astype(np.float64) - real).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1 / made[0].size))


def ssim(made: Pixels, real: Pixels) -> NDArray[np.float64]:
    """Structural similarity of each picture, [N], at most 1 (Wang et al. 2004, Eq. 13, a Gaussian of 1.5 over 11 x 11 pixels).

    The mean over channels and over places where the window is inside the picture.
    """
    x, y = made.astype(np.float64), real.astype(np.float64)

    def mean(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(z, (0, 0, 1.5, 1.5), truncate=3.5)[:, :, 5:-5, 5:-5]

    a, b = mean(x), mean(y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variances, covariance = mean(x * x) - a * a + mean(y * y) - b * b, mean(x * y) - a * b
    found = (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
    return found.mean(axis=(1, 2, 3))


def sharpness(images: Pixels) -> NDArray[np.float64]:
    """Of each picture the mean square of Sobel's gradient, [N]: blur lowers it, where its length's mean may stay."""
    return np.square(gradient(images)).mean(axis=(1, 2, 3), dtype=np.float64)


def compare(
    translators: dict[str, Translator], dataset: Dataset, judge: Judge, settings: JudgeSettings, count: int
) -> dict[str, Any]:
    """What each makes of the same `count` held-out pictures, or as many as there are, and what other real images reach.

    Real: the first held-out images; the other ones are of the training images that the judge has not seen. In JSON types.
    """
    learnt = next(iter(translators.values())).header.settings
    source, target = domains(learnt, dataset)
    size = min(size_of(target, [settings], count), len(source.test_images))
    given, real = source.test_images[:size], target.test_images[:size]
    labels = target.test_labels[:size] if target.has_classes else None
    seen = judge(real).features
    rows = {}
    if learnt.unpaired:
        for name, there, back in _ways(translators, source, target):
            made = there(given)
            rows[name] = {"change": mean(l1(made, given)), "cycle": mean(l1(back(made), given))}
            rows[name]["sharpness"] = _over(sharpness(made), sharpness(real), paired=False)
            rows[name] |= recognised(seen, judge(made), labels)
    else:
        drawn_from = rule_of(learnt.rule, real.shape[1]).of(given)
        for name, one in translators.items():
            made = one(drawn_from)
            rows[name] = dict(_pairs(made, real)) | recognised(seen, judge(made), labels)
    other = floor_samples(target, settings, size)[0]
    rows[FLOOR] = {"sharpness": _over(sharpness(other.images), sharpness(real), paired=False)}
    rows[FLOOR] |= recognised(seen, judge(other.images), other.labels)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "images": size,
        "judge": asdict(settings),
        "judge_accuracy": judge.test_accuracy,
        "rows": {name: {key: value._asdict() for key, value in row.items()} for name, row in rows.items()},
    }


def _ways(
    translators: dict[str, Translator], source: Dataset, target: Dataset
) -> Iterator[tuple[str, Way, Way]]:
    """Name, there and back: of each run, and of two that learn nothing."""
    yield from ((name, one, one.back) for name, one in translators.items())
    yield ITSELF, np.copy, np.copy
    there, back = (
        lambda images, of=of.images: of[nearest_training(images, of)[0]] for of in (target, source)
    )
    yield NEAREST, there, back


def table(found: dict[str, Any]) -> str:
    """In Markdown: a row each, with one standard error over images."""
    known = {
        key: heading for key, heading in HEADINGS.items() if any(key in row for row in found["rows"].values())
    }
    rows = [
        [name, *(with_error(row[key], digits) if key in row else "-" for key, (_, digits) in known.items())]
        for name, row in found["rows"].items()
    ]
    return markdown(["generator", *(title for title, _ in known.values())], rows)


def _pairs(made: Pixels, real: Pixels) -> Iterator[tuple[str, Value]]:
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(real), _AT_ONCE)]
    for name, of in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
        yield name, mean(np.concatenate([of(made[part], real[part]) for part in parts]))
    sharp, sharp_real = (
        np.concatenate([sharpness(images[part]) for part in parts]) for images in (made, real)
    )
    yield "sharpness", _over(sharp, sharp_real, paired=True)


def _over(made: NDArray[np.float64], real: NDArray[np.float64], paired: bool) -> Value:
    """The quotient of the means, with its error by the delta method."""
    ratio = float(made.mean() / real.mean())
    error = (
        standard_error(made - ratio * real)
        if paired
        else np.hypot(standard_error(made), ratio * standard_error(real))
    )
    return Value(ratio, len(made), float(error / real.mean()))
