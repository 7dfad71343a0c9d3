import math

import torch

from training.losses import discriminator_loss, non_saturating_generator_loss


def test_discriminator_that_cannot_tell_loses_log_4() -> None:
    """Goodfellow et al. 2014, Theorem 1: D = 1/2 everywhere."""
    assert torch.isclose(discriminator_loss(torch.zeros(5), torch.zeros(5)), torch.tensor(math.log(4)))


def test_discriminator_loss_is_minus_the_value_function() -> None:
    real, fake = torch.tensor([0.3, -2.0, 4.0]), torch.tensor([1.0, -0.5, 0.0])
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    assert torch.isclose(discriminator_loss(real, fake), -value)


def test_losses_are_finite_where_the_sigmoid_overflows() -> None:
    far = torch.tensor([1e4])
    assert discriminator_loss(-far, far) == 2e4
    assert non_saturating_generator_loss(-far) == 1e4


def test_non_saturating_gradient_stays_where_the_saturating_one_vanishes() -> None:
    """Section 3: where D is sure of the fakes, log(1 - D) is flat and log D is steep."""
    logits = torch.full((1,), -20.0, requires_grad=True)
    (steep,) = torch.autograd.grad(non_saturating_generator_loss(logits), logits)
    (flat,) = torch.autograd.grad((1 - logits.sigmoid()).log().mean(), logits)
    assert torch.isclose(steep, torch.tensor([-1.0]))
    assert flat.abs() < 1e-6
