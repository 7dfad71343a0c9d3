import math

import numpy as np
import pytest
import torch
from torch import nn

from training.research.theory import discriminator
from training.research.theory.divergences import gaussian, jensen_shannon
from training.research.theory.figures import EQUAL, PAIRS, SEEDS, optimal_discriminator, value_at_optimum

LOG_4 = math.log(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_discriminator_trained_for_a_fixed_generator_reaches_the_optimal_one(pair, seed):
    """Goodfellow et al. 2014, Proposition 1."""
    p, q = PAIRS[pair]
    trained = discriminator.fitted(p, q, seed)
    assert discriminator.distance_to_optimal(trained, p, q) < discriminator.distance_tolerance()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pair", PAIRS)
def test_its_value_is_twice_the_jsd_above_minus_log_4(pair, seed):
    """Theorem 1."""
    p, q = PAIRS[pair]
    trained, optimum = discriminator.fitted(p, q, seed), -LOG_4 + 2 * jensen_shannon(p, q)
    assert optimum - discriminator.shortfall() < discriminator.value(trained, p, q) <= optimum + 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_where_the_densities_are_equal_it_says_a_half_and_is_worth_minus_log_4(seed):
    p, q = PAIRS[EQUAL]
    trained = discriminator.fitted(p, q, seed)
    assert discriminator.output(trained, np.linspace(-2, 2, 41)) == pytest.approx(0.5, abs=0.1)
    assert discriminator.value(trained, p, q) == pytest.approx(-LOG_4, abs=discriminator.shortfall())


def test_another_discriminator_is_far_from_optimal_and_worth_less():
    """What the tolerances would not let pass: a D* of the wrong variance, or one that learnt a tenth too little."""
    p, q = gaussian(0, 1), gaussian(1.5, 1)
    steep, shallow = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    with torch.no_grad():
        for network, share in ((steep, 1.5), (shallow, 0.8)):
            network.weight.fill_(-1.5 * share)
            network.bias.fill_(1.5**2 / 2 * share)
        optimum = -LOG_4 + 2 * jensen_shannon(p, q)
        for network in (steep, shallow):
            assert discriminator.distance_to_optimal(network, p, q) > discriminator.distance_tolerance()
            assert discriminator.value(network, p, q) < optimum - discriminator.shortfall()


def test_the_value_of_the_optimal_discriminator_itself_is_the_theorems():
    p, q = gaussian(0, 1), gaussian(1.5, 1)
    exact = nn.Linear(1, 1).double().requires_grad_(False)
    exact.weight.fill_(-1.5)
    exact.bias.fill_(1.5**2 / 2)
    assert discriminator.distance_to_optimal(exact, p, q) < 1e-8
    assert discriminator.value(exact, p, q) == pytest.approx(-LOG_4 + 2 * jensen_shannon(p, q), abs=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_claim_of_the_document_on_discriminators_holds(seed):
    assert [row.claim for row in optimal_discriminator(seed) + value_at_optimum(seed) if not row.holds] == []
