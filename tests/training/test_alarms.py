import numpy as np
import pytest

from tests.training.pictures import squares
from training.alarms import CollapseAlarm, TrainingFailed, check_finite


def test_nan_and_infinity_are_named_with_a_remedy() -> None:
    check_finite({"loss/D": 1.0}, 10)
    for value in (float("nan"), float("inf")):
        with pytest.raises(TrainingFailed, match=r"loss/G became NaN or infinite after 6,400 images\. Try"):
            check_finite({"loss/D": 1.0, "loss/G": value}, 6_400)


def test_real_images_are_as_diverse_as_real_images() -> None:
    dataset = squares(600)
    alarm = CollapseAlarm(dataset, rows=3, columns=10)
    rows = np.stack([dataset.images[dataset.labels == label][50:60] for label in range(3)])
    assert alarm.diversity(rows) == pytest.approx(1, abs=0.15)


def test_one_picture_a_class_is_a_collapse_at_the_second_look() -> None:
    dataset = squares()
    alarm = CollapseAlarm(dataset, rows=3, columns=10)
    collapsed = alarm.diversity(np.repeat(dataset.images[:3, None], 10, axis=1))
    assert collapsed == 0
    alarm.check(collapsed, 0.5, 500)
    with pytest.raises(TrainingFailed, match=r"Mode collapse: after 600 images .* differ by 0% .* Try"):
        alarm.check(collapsed, 0.6, 600)


def test_low_looks_at_the_start_or_once_are_forgiven() -> None:
    alarm = CollapseAlarm(squares(), rows=3, columns=10)
    for progress, diversity in ((0.01, 0.0), (0.05, 0.0), (0.5, 0.05), (0.6, 0.5), (0.7, 0.05)):
        alarm.check(diversity, progress, 1000)
