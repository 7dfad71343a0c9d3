import torch

from training.penalties import r1


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
