from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.pictures import squares
from training.evaluation.quality.judge import ARCHITECTURES, FEATURES, build
from training.evaluation.quality.judging import JudgeSettings, fit, halves, judge_for, length, usefulness
from training.settings import ImageSpec

SHORT = JudgeSettings("plain", images=128)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_judge_learns_to_tell_classes_apart(architecture):
    dataset = squares()
    judge = fit(dataset, JudgeSettings(architecture, images=1280), lambda done: None)
    assert judge.test_accuracy > 0.95
    judgement = judge(dataset.test_images)
    assert judgement.features.shape == (120, FEATURES)
    assert judgement.probabilities.shape == (120, 3)
    np.testing.assert_allclose(judgement.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 64), (1, 128)])
def test_every_image_shape_has_a_judge(architecture, channels, side):
    network = build(architecture, ImageSpec("any", channels, side, side, ("a", "b")))
    image = torch.zeros(2, channels, side, side)
    assert network(image).shape == (2, 2)
    assert network.trunk(image).shape == (2, FEATURES)


def test_a_judge_is_trained_once_and_then_read(tmp_path: Path):
    dataset, advanced = squares(), []
    first = judge_for(dataset, SHORT, tmp_path, advanced.append)
    assert len(advanced) == 2
    again = judge_for(dataset, SHORT, tmp_path, advanced.append)
    assert advanced[2:] == [128], "the second one came from the cache"
    assert again.test_accuracy == first.test_accuracy
    np.testing.assert_array_equal(again(dataset.images).features, first(dataset.images).features)


def test_a_judge_knows_half_of_each_class_and_another_seed_another_half():
    dataset = squares()
    seen, unseen = halves(dataset.labels, 0)
    assert sorted([*seen, *unseen]) == list(range(300))
    assert list(np.bincount(dataset.labels[seen])) == [50, 50, 50]
    shared = np.intersect1d(seen, halves(dataset.labels, 1)[0])
    assert 50 < len(shared) < 100
    before = fit(dataset, SHORT, lambda done: None)(dataset.test_images).features
    dataset.images[unseen] = 0
    np.testing.assert_array_equal(
        fit(dataset, SHORT, lambda done: None)(dataset.test_images).features, before
    )
    dataset.images[seen] = 0
    assert not np.array_equal(fit(dataset, SHORT, lambda done: None)(dataset.test_images).features, before)


def test_images_of_the_wrong_classes_teach_a_classifier_nothing():
    dataset, longest = squares(), 2560
    right = usefulness(dataset, dataset.images, dataset.labels, longest, lambda done: None)
    wrong = usefulness(dataset, dataset.images, (dataset.labels + 1) % 3, longest, lambda done: None)
    assert right > 0.95
    assert wrong < 0.05


def test_a_small_data_set_is_not_learnt_by_heart():
    dataset = squares(train=32, test=30)
    assert length(dataset, JudgeSettings()) == 40 * 17, "passes over its half"
    assert length(squares(), SHORT) == 128


def test_other_images_labels_or_settings_are_another_judge(tmp_path: Path):
    settings = JudgeSettings("plain", images=64)
    changed_image, changed_label = squares(), squares()
    changed_image.images[0, 0, 0, 0] ^= 1
    changed_label.test_labels[0] = (changed_label.test_labels[0] + 1) % 3
    for dataset in (squares(), changed_image, changed_label):
        judge_for(dataset, settings, tmp_path, lambda done: None)
    judge_for(squares(), JudgeSettings("plain", seed=1, images=64), tmp_path, lambda done: None)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_cache_is_trained_anew(tmp_path: Path):
    dataset, advanced = squares(), []
    judge_for(dataset, SHORT, tmp_path, advanced.append)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"no safetensors", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        advanced.clear()
        judge_for(dataset, SHORT, tmp_path, advanced.append)
        assert len(advanced) == 2
        assert len(file.read_bytes()) == len(whole)


def test_training_a_judge_leaves_the_global_random_state_alone(tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(squares(), SHORT, lambda done: None)
    assert torch.equal(torch.rand(3), expected)
