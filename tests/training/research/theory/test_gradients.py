import pytest

from training.gan.losses import non_saturating_generator_loss, saturating_generator_loss
from training.research.theory import gradients
from training.research.theory.figures import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shift", [0.5, 2.0, 6.0])
def test_gradients_at_the_optimal_discriminator_are_the_integrals(shift, seed):
    saturating, strong = gradients.expected_gradients(shift)
    measured, error = gradients.at_optimal_discriminator(saturating_generator_loss, shift, seed)
    assert measured == pytest.approx(saturating, abs=4 * error)
    measured, error = gradients.at_optimal_discriminator(non_saturating_generator_loss, shift, seed)
    assert measured == pytest.approx(strong, abs=4 * error)


def test_only_the_saturating_gradient_vanishes_as_the_optimal_discriminator_gets_better():
    found = [gradients.expected_gradients(shift) for shift in (2.0, 4.0, 6.0, 8.0)]
    saturating, strong = zip(*found, strict=True)
    assert all(
        gradient < gradients.vanishing_bound(shift)
        for gradient, shift in zip(saturating, (2, 4, 6, 8), strict=True)
    )
    assert saturating[-1] < 1e-3 * saturating[0]
    assert list(strong) == sorted(strong)
    assert strong[-1] == pytest.approx(8, rel=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_while_a_discriminator_learns_only_the_saturating_gradient_vanishes(seed):
    curves = gradients.while_the_critic_learns(seed, steps=200, every=50)
    before, now = curves["saturating"][1][1], curves["saturating"][-1][1]
    assert now < before / 100
    assert curves["non-saturating"][-1][1] > curves["non-saturating"][1][1] > 1
    # Where the Wasserstein distance is theta, its gradient is 1.
    assert curves["Wasserstein"][-1][1] == pytest.approx(1, abs=0.3)
