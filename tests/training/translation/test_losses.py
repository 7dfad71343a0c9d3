"""The equations of pix2pix and CycleGAN, worked by hand."""

import math

import pytest
import torch

from training.translation.losses import (
    cycle_loss,
    generator_loss,
    halved_discriminator_loss,
    l1,
    least_squares_loss,
)


def test_a_discriminator_that_can_not_tell_any_patch_has_log_2():
    patches = torch.zeros(2, 1, 5, 5)
    assert float(halved_discriminator_loss(patches, patches)) == pytest.approx(math.log(2))
    real, fake = torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), -1.0)
    by_hand = (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(-1))) / 2
    assert float(halved_discriminator_loss(real, fake)) == pytest.approx(by_hand)


def test_the_generator_descends_minus_log_d_and_lambda_times_l1():
    fake, real = torch.tensor([0.5, -0.5]).view(1, 1, 1, 2), torch.tensor([0.0, 0.25]).view(1, 1, 1, 2)
    assert float(l1(fake, real)) == pytest.approx(0.625)
    logits = torch.tensor([[0.0, 2.0]])
    by_hand = (math.log(2) + math.log(1 + math.exp(-2))) / 2 + 10 * 0.625
    assert float(generator_loss(logits, fake, real, 10)) == pytest.approx(by_hand)


def test_cyclegan_sums_both_ways_and_does_not_halve_what_generators_descend():
    assert float(least_squares_loss(torch.tensor([[0.0, 0.5]]))) == pytest.approx((1 + 0.25) / 2)
    x, y = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    assert float(cycle_loss((x + 0.25, y - 0.5), (x, y))) == pytest.approx(0.75)
    assert float(cycle_loss((x, y), (x, y))) == 0
