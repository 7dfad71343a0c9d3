import pytest
import torch

from training.ema import settle_batch_norm
from training.networks import build_discriminator, build_generator
from training.settings import ImageSpec, Settings

SETTINGS = Settings(width=8, z_dim=6, label_dim=4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_images_have_the_data_sets_shape_and_range(size: int, channels: int) -> None:
    spec = ImageSpec("any", channels, size, size, ("a", "b", "c"))
    G, D = build_generator(SETTINGS, spec), build_discriminator(SETTINGS, spec)
    label = torch.tensor([0, 2])
    images = G(torch.randn(2, 6), label)
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert D(images, label).shape == (2,)


@torch.no_grad()
def test_image_does_not_depend_on_its_batch_mates() -> None:
    spec = ImageSpec("any", 1, 28, 28, ("a", "b", "c"))
    generator = build_generator(SETTINGS, spec)
    settle_batch_norm(generator, SETTINGS, spec, images=512)
    z, label = torch.randn(7, 6), torch.arange(7) % 3
    together = generator(z, label)
    for index in range(7):
        alone = generator(z[index : index + 1], label[index : index + 1])
        assert torch.allclose(alone[0], together[index], atol=1e-5)


@torch.no_grad()
def test_label_and_latent_both_change_the_image() -> None:
    spec = ImageSpec("any", 1, 28, 28, ("a", "b"))
    generator = build_generator(SETTINGS, spec).eval()
    z = torch.randn(2, 6)
    first = generator(z[:1], torch.tensor([0]))
    assert not torch.allclose(first, generator(z[:1], torch.tensor([1])))
    assert not torch.allclose(first, generator(z[1:], torch.tensor([0])))


def test_discriminator_judges_rows_alone() -> None:
    """R1 takes the gradient of the sum: rows must not mix."""
    spec = ImageSpec("any", 1, 28, 28, ("a", "b"))
    D = build_discriminator(SETTINGS, spec)
    images = torch.randn(4, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(images, torch.tensor([0, 1, 0, 1]))[1], images)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2, 3]].abs().sum() == 0


def test_shipped_size_is_what_the_card_says() -> None:
    """Under 4 MB as float32, and cheap enough to train and serve on one core."""
    spec = ImageSpec("fashion-mnist", 1, 28, 28, tuple("0123456789"))
    parameters = sum(p.numel() for p in build_generator(Settings(), spec).parameters())
    assert parameters * 4 < 2.5e6
