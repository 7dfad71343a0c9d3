import numpy as np
import pytest

from training.evaluation.quality.inception_score import inception_score


def test_sure_and_evenly_spread_scores_the_number_of_classes():
    assert inception_score(np.eye(10, dtype=np.float32)[np.arange(1000) % 10]) == pytest.approx(10)


def test_constant_predictions_score_one():
    assert inception_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    assert inception_score(np.eye(10)[np.zeros(50, int)]) == pytest.approx(1)


def test_half_sure_predictions_meet_the_closed_form():
    # Each of two classes twice: p(y|x) = (p, 1-p) or mirrored, so ln IS = ln 2 - H(p).
    p = 0.9
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert inception_score(np.array([[p, 1 - p], [1 - p, p]])) == pytest.approx(2 * np.exp(-entropy))
