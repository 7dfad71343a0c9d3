"""How good translated pictures are, on held-out pairs: near the real picture, and as sharp and as recognisable as real ones."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.data.dataset import Dataset, Indices, Pixels
from training.evaluation.quality.comparison import Value
from training.evaluation.quality.frechet import frechet_distance, frechet_error
from training.evaluation.quality.judge import Judge
from training.evaluation.quality.judging import JudgeSettings
from training.evaluation.reference import floor_samples, size_of
from training.translation.rules import gradient, rule_of
from training.translation.run import Translator

RESAMPLES = 100
_AT_ONCE = 500


class Heading(NamedTuple):
    title: str
    digits: int


HEADINGS = {
    "l1": Heading("L1, grey levels", 2),
    "psnr": Heading("PSNR, dB", 2),
    "ssim": Heading("SSIM", 4),
    "sharpness": Heading("sharpness over real", 3),
    "class_accuracy": Heading("class accuracy", 4),
    "frechet_distance": Heading("Fréchet distance", 4),
}
FLOOR = "other real images"


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
    translators: dict[str, Translator],
    dataset: Dataset,
    judge: Judge,
    settings: JudgeSettings,
    count: int,
) -> dict[str, Any]:
    """What each makes of the same `count` held-out pairs, or as many as there are, and what other real images reach.

    Real: the first held-out images; the other ones are of the training images that the judge has not seen. In JSON types.
    """
    size = size_of(dataset, [settings], count)
    real = dataset.test_images[:size]
    labels = dataset.test_labels[:size] if dataset.has_classes else None
    seen = judge(real).features
    made = {name: translated(one, real) for name, one in translators.items()}
    rows = {
        name: dict(_pairs(images, real)) | _of_judge(images, labels, judge, seen)
        for name, images in made.items()
    }
    other = floor_samples(dataset, settings, size)[0]
    rows[FLOOR] = {"sharpness": _over(sharpness(other.images), sharpness(real), paired=False)}
    rows[FLOOR] |= _of_judge(other.images, other.labels, judge, seen)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "images": size,
        "judge": {"architecture": settings.architecture, "seed": settings.seed, "images": settings.images},
        "judge_accuracy": judge.test_accuracy,
        "rows": {
            name: {key: {"value": value, "standard_error": error} for key, (value, _, error) in row.items()}
            for name, row in rows.items()
        },
    }


def translated(translator: Translator, real: Pixels) -> Pixels:
    """What it makes of what its rule makes of them."""
    rule = rule_of(translator.settings.rule, real.shape[1])
    parts = (real[start : start + _AT_ONCE] for start in range(0, len(real), _AT_ONCE))
    return np.concatenate([translator(rule.of(part)) for part in parts])


def table(found: dict[str, Any]) -> str:
    """In Markdown: a row each, with one standard error over images."""
    head = ["generator", *(heading.title for heading in HEADINGS.values())]
    lines = [head, ["---", *["---:"] * len(HEADINGS)]]
    for name, row in found["rows"].items():
        cells = [
            f"{row[key]['value']:.{digits}f} ± {row[key]['standard_error']:.{digits}f}" if key in row else "-"
            for key, (_, digits) in HEADINGS.items()
        ]
        lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _pairs(made: Pixels, real: Pixels) -> Iterator[tuple[str, Value]]:
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(real), _AT_ONCE)]
    for name, of in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
        found = np.concatenate([of(made[part], real[part]) for part in parts])
        yield name, Value(float(found.mean()), len(found), _error(found))
    sharp, sharp_real = (
        np.concatenate([sharpness(images[part]) for part in parts]) for images in (made, real)
    )
    yield "sharpness", _over(sharp, sharp_real, paired=True)


def _over(made: NDArray[np.float64], real: NDArray[np.float64], paired: bool) -> Value:
    """The quotient of the means, with its error by the delta method."""
    ratio = float(made.mean() / real.mean())
    error = _error(made - ratio * real) if paired else float(np.hypot(_error(made), ratio * _error(real)))
    return Value(ratio, len(made), error / float(real.mean()))


def _of_judge(
    images: Pixels, labels: Indices | None, judge: Judge, real: NDArray[np.float32]
) -> dict[str, Value]:
    features, probabilities = judge(images)
    error = frechet_error(real, features, RESAMPLES)
    found = {"frechet_distance": Value(frechet_distance(real, features), len(images), error)}
    if labels is not None:
        right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
        found["class_accuracy"] = Value(float(right.mean()), len(right), _error(right))
    return found


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
