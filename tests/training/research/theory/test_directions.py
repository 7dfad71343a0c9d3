import numpy as np
import pytest

from training.research.theory.directions import directions, reverse
from training.research.theory.figures import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
def test_every_claim_of_the_document_on_the_best_discriminators_lessons_holds(seed):
    assert [row.claim for row in directions(seed) if not row.holds] == []


def test_a_generator_that_draws_the_data_has_nothing_to_descend_and_no_draw_helps_it():
    assert reverse(np.array([0.5, 0.5, 0])) == pytest.approx(0, abs=1e-8)
    assert reverse(np.array([0.6, 0.4, 0])) > 0
