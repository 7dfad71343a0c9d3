import pytest
import torch
from torch import nn

from training.gan.penalties import clip_weights, r1, r2, wgan_gp


def test_r1_of_a_linear_discriminator_is_its_weights_squared_norm() -> None:
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    penalty = r1(lambda images: (images * weight).sum(dim=(1, 2, 3)), torch.rand(5, 3, 4, 4))
    assert torch.isclose(penalty, weight.square().sum())


def test_r1_is_the_mean_over_images() -> None:
    # Of |x|^2 / 2 the gradient is x.
    images = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    penalty = r1(lambda x: x.square().sum(dim=(1, 2, 3)) / 2, images)
    assert torch.isclose(penalty, images.square().sum() / 6)


def test_gradient_of_r1_meets_finite_differences() -> None:
    images = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def penalty(weight: torch.Tensor) -> torch.Tensor:
        return r1(lambda x: torch.tanh((x * weight).sum(dim=(1, 2, 3))), images)

    assert torch.autograd.gradcheck(penalty, (weight.requires_grad_(True),))


def test_r2_is_r1_of_the_generated_images_and_reaches_no_generator() -> None:
    latent = torch.ones(3, 1, 2, 2, requires_grad=True)
    # Of |x|^2 / 2 the gradient is x: 4 * 2^2.
    penalty = r2(lambda x: x.square().sum(dim=(1, 2, 3)) / 2, 2 * latent)
    assert float(penalty.detach()) == 16
    assert not penalty.requires_grad or torch.autograd.grad(penalty, latent, allow_unused=True) == (None,)


def test_gradient_penalty_of_a_linear_critic_is_how_far_its_slope_is_from_1() -> None:
    # A slope of (3, 4), so of length 5: (5 - 1)^2, wherever it is measured.
    weight = torch.tensor([3.0, 4.0]).view(1, 1, 2)
    real, fake = torch.rand(6, 1, 1, 2), torch.rand(6, 1, 1, 2)
    penalty = wgan_gp(lambda x: (x * weight).sum(dim=(1, 2, 3)), real, fake, torch.Generator())
    assert torch.isclose(penalty, torch.tensor(16.0))


def test_gradient_penalty_is_measured_between_each_pair() -> None:
    """From 0 to 10: the slope of x^2 / 2 at a point is the point, which no two pairs share."""
    points: list[torch.Tensor] = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        points.append(x.detach().flatten())
        return x.square().sum(dim=(1, 2, 3)) / 2

    ten = torch.full((50, 1, 1, 1), 10.0)
    penalty = wgan_gp(critic, ten, torch.zeros_like(ten), torch.Generator().manual_seed(0))
    (seen,) = points
    assert 0 <= seen.min() < 2
    assert 8 < seen.max() <= 10
    assert len(seen.unique()) == 50
    assert torch.isclose(penalty, (seen - 1).square().mean(), rtol=1e-5)


def test_gradient_of_the_gradient_penalty_meets_finite_differences() -> None:
    draw = torch.Generator().manual_seed(3)
    real, fake = (torch.randn(4, 1, 2, 2, generator=draw, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(1, 2, 2, generator=draw, dtype=torch.float64, requires_grad=True)

    def penalty(weight: torch.Tensor) -> torch.Tensor:
        rng = torch.Generator().manual_seed(0)
        return wgan_gp(lambda x: torch.tanh((x * weight).sum(dim=(1, 2, 3))), real, fake, rng)

    assert torch.autograd.gradcheck(penalty, (weight,))


def test_clipped_weights_are_within_the_limit_and_classes_are_told_as_before() -> None:
    linear, classes = nn.Linear(2, 1), nn.Embedding(2, 2)
    linear.load_state_dict({"weight": torch.tensor([[0.5, -0.004]]), "bias": torch.tensor([-3.0])})
    nn.init.ones_(classes.weight)
    clip_weights(nn.ModuleList([linear, classes]), 0.01)
    assert linear.weight.flatten().tolist() == pytest.approx([0.01, -0.004])
    assert linear.bias.tolist() == pytest.approx([-0.01])
    assert (classes.weight == 1).all()
