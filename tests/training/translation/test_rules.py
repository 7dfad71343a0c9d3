"""What goes in is a function of the real picture alone."""

import numpy as np
import pytest

from training.errors import UserError
from training.translation.rules import RULES, edges, gradient, grey, quarter, rule_of


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
