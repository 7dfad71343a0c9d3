"""The floors: draws of real images that no judge has seen, each class as often as in all."""

import numpy as np

from tests.training.pictures import squares
from training.evaluation.quality.judging import JudgeSettings, halves
from training.evaluation.reference import draws, floor_samples


def test_draws_share_no_image_and_have_equal_classes_in_random_order():
    images = np.arange(300, dtype=np.uint8)[:, None, None, None]
    labels = np.repeat(np.arange(3), 100)
    found = draws(images[:240], labels[:240], 60, most=8)
    assert len(found) == 4
    everywhere = np.concatenate([sample.images.ravel() for sample in found])
    assert sorted(everywhere) == list(range(240))
    for sample in found:
        assert sample.labels is not None
        np.testing.assert_array_equal(labels[sample.images.ravel()], sample.labels)
        assert list(np.bincount(sample.labels)) == [25, 25, 10]
        assert 0 < np.count_nonzero(np.diff(sample.labels)) < 59
    assert len(draws(images, labels, 60, most=1)) == 1


def test_a_floor_is_drawn_from_what_its_judge_has_not_seen():
    dataset, settings = squares(), JudgeSettings("plain", seed=3)
    seen, unseen = halves(dataset.labels, settings.seed)
    (sample,) = floor_samples(dataset, settings, 120)
    drawn = {image.tobytes() for image in sample.images}
    assert len(drawn) == 120
    assert drawn <= {image.tobytes() for image in dataset.images[unseen]}
    assert not drawn & {image.tobytes() for image in dataset.images[seen]}
