import numpy as np
import pytest

from tests.training.pictures import squares
from training.presets import settings_of
from training.run.alarms import Diversity, TrainingFailed, check_finite, collapse, is_low
from training.run.watchdogs import DIVERGENCE, remedy

SETTINGS = settings_of("ns-r1", images=400_000)
TRY = remedy(DIVERGENCE, SETTINGS)


def test_nan_and_infinity_are_named_with_a_remedy() -> None:
    check_finite({"loss/D": 1.0}, 10, TRY)
    for value in (float("nan"), float("inf")):
        with pytest.raises(
            TrainingFailed, match=r"Divergence: loss/G became NaN or infinite after 6,400 images\. Try"
        ):
            check_finite({"loss/D": 1.0, "loss/G": value}, 6_400, TRY)


def test_real_images_are_as_diverse_as_real_images() -> None:
    dataset = squares(600)
    rows = np.stack([dataset.images[dataset.labels == label][50:60] for label in range(3)])
    assert Diversity(dataset, rows=3, columns=10).of(rows) == pytest.approx(1, abs=0.15)


def test_one_picture_a_class_is_a_collapse() -> None:
    dataset = squares()
    collapsed = Diversity(dataset, rows=3, columns=10).of(np.repeat(dataset.images[:3, None], 10, axis=1))
    assert collapsed == 0
    assert is_low(collapsed, 50_000, SETTINGS)
    assert "after 50,000 images the pictures within a class differ by 0%" in collapse(0.0, 50_000, SETTINGS)


def test_one_blob_for_all_is_normal_at_the_start() -> None:
    # Before a tenth of a long run, and before a thousand updates of a short one.
    assert not is_low(0.0, 39_000, SETTINGS)
    assert not is_low(0.0, 31_000, settings_of("ns-r1", images=40_000))
    assert is_low(0.0, 33_000, settings_of("ns-r1", images=40_000))
