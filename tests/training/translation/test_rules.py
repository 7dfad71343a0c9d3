"""What goes in is a function of the real picture alone."""

import numpy as np
import pytest

from training.data.dataset import Dataset
from training.errors import UserError
from training.translation.rules import RULES, domains, edges, gradient, grey, quarter, rule_of
from training.translation.settings import Settings


def test_edges_are_where_a_step_is_and_nowhere_else():
    image = np.zeros((1, 3, 8, 8), np.uint8)
    image[:, 1, :, 4:] = 64  # one channel is enough, and a quarter of all levels
    assert gradient(image)[0, 1, 2].tolist() == [0, 0, 0, 256, 256, 0, 0, 0]
    found = edges(image)
    assert found.shape == (1, 1, 8, 8)
    assert found[0, 0, 2].tolist() == [0, 0, 0, 255, 255, 0, 0, 0]
    assert not edges(image // 2).any()


def test_a_quarter_is_the_mean_of_each_four_by_four():
    image = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    assert quarter(image).tolist() == [[[[14, 18], [46, 50]]]]


def test_grey_is_luma():
    image = np.array([[255, 0, 0], [0, 255, 0], [10, 10, 10]], np.uint8).T.reshape(1, 3, 1, 3)
    assert grey(image).tolist() == [[[[76, 150, 10]]]]


@pytest.mark.parametrize("name", RULES)
def test_a_picture_does_not_depend_on_those_beside_it(name):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 28, 28), dtype=np.uint8)
    given = rule_of(name, 3).of(images)
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given[2:3], rule_of(name, 3).of(images[2:3]))


def test_what_would_go_in_as_it_is_is_refused():
    with pytest.raises(UserError, match="grey already"):
        rule_of("grey", 1)


def test_two_classes_are_apart_and_keep_their_labels():
    images, labels = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1), np.arange(12) % 3
    dataset = Dataset("any", ("a", "b", "c"), images, labels, images[:6], labels[:6])
    source, target = domains(Settings(rule="classes", source="c", target="a"), dataset)
    assert source.images.flatten().tolist() == [2, 5, 8, 11]
    assert (target.test_images.flatten().tolist(), target.test_labels.tolist()) == ([0, 3], [0, 0])
    both = domains(Settings(), dataset)
    assert both[0] is both[1] is dataset
