import pytest
import torch
from torch import Tensor

from training.theory import ring
from training.theory.figures import SEEDS

STEPS = 500


@pytest.fixture(scope="module")
def keeps_up() -> Tensor:
    return ring.trained(ring.RECIPES["non-saturating"], ring.KEEPS_UP, STEPS, SEEDS)


@pytest.fixture(scope="module")
def falls_behind() -> Tensor:
    return ring.trained(ring.RECIPES["non-saturating"], ring.FALLS_BEHIND, STEPS, SEEDS)


@pytest.fixture(scope="module")
def clipped() -> Tensor:
    return ring.trained(ring.RECIPES["Wasserstein, clipped"], ring.FALLS_BEHIND, STEPS, SEEDS)


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_a_generator_whose_discriminator_keeps_up_reaches_the_modes(keeps_up, index):
    assert ring.reached(keeps_up[index]).modes >= 7


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_one_whose_discriminator_falls_behind_collapses(falls_behind, index):
    """Goodfellow et al. 2014, section 6: G must not be trained too much without updating D."""
    assert ring.reached(falls_behind[index]).modes <= 5


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_a_clipped_critic_that_falls_behind_still_shows_the_way_to_the_modes(clipped, index):
    assert ring.reached(clipped[index]).modes >= 6


@pytest.mark.parametrize("recipe", ring.RECIPES)
def test_every_recipe_leads_the_generator_to_the_ring(recipe):
    """An untrained one has about 0.06 of its samples near a mode."""
    points = ring.trained(ring.RECIPES[recipe], ring.KEEPS_UP, 300, SEEDS[:2])
    assert all(ring.reached(seed).near > 0.15 for seed in points)


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_of_the_data_reach_every_mode(seed):
    (points,) = ring.ring(ring.SAMPLES, [torch.Generator().manual_seed(seed)])
    found = ring.reached(points)
    assert found.modes == ring.MODES
    assert found.near == pytest.approx(0.989, abs=4 * (0.989 * 0.011 / ring.SAMPLES) ** 0.5)


def test_a_generator_of_two_points_reaches_two_modes():
    points = ring.centres()[torch.tensor([0, 3])].repeat(ring.SAMPLES // 2, 1)
    assert ring.reached(points) == ring.Reached(modes=2, near=1.0)
    assert ring.reached(torch.zeros(ring.SAMPLES, 2)) == ring.Reached(modes=0, near=0.0)


def test_an_even_circle_reaches_every_mode_with_three_quarters_of_its_samples():
    """What docs/theory.md compares with: a chord of 0.3 spans 0.301 of a circle of radius 1."""
    angle = torch.arange(ring.SAMPLES) * (2 * torch.pi / ring.SAMPLES)
    found = ring.reached(torch.stack([angle.cos(), angle.sin()], dim=1))
    assert found.modes == ring.MODES
    assert found.near == pytest.approx(0.767, abs=0.005)


def test_seeds_trained_side_by_side_come_out_as_each_would_alone():
    recipe = ring.RECIPES["relativistic, R1, R2"]
    together = ring.trained(recipe, ring.CATCHES_UP, 5, (3, 7))
    alone = ring.trained(recipe, ring.CATCHES_UP, 5, (7,))
    torch.testing.assert_close(together[1:], alone, rtol=1e-3, atol=1e-4)
