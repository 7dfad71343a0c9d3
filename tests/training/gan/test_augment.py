import pytest
import torch
from torch import Generator

from training.gan.augment import AUGMENTATIONS, augment, parse


def pictures(count: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, 16, 16, generator=Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_flow_back_to_the_images(name: str) -> None:
    images = pictures().requires_grad_(True)
    augment(images, name, Generator().manual_seed(1)).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_image_gets_its_own_draw_and_the_same_seed_the_same(name: str) -> None:
    images = pictures()[:1].repeat(8, 1, 1, 1)
    once = augment(images, name, Generator().manual_seed(1))
    assert len({image.numpy().tobytes() for image in once}) > 1
    assert torch.equal(once, augment(images, name, Generator().manual_seed(1)))


def test_none_changes_nothing() -> None:
    images = pictures()
    assert augment(images, "", Generator()) is images


def test_translation_moves_whole_pixels_by_an_eighth_at_most_and_fills_with_zero() -> None:
    images = torch.zeros(64, 1, 16, 16)
    images[:, :, 8, 8] = 1
    moved = augment(images, "translation", Generator().manual_seed(3)).nonzero()
    assert len(moved) == 64
    assert (moved[:, 2:] - 8).abs().max() == 2


def test_cutout_zeroes_at_most_half_the_side() -> None:
    cut = augment(torch.ones(64, 1, 16, 16), "cutout", Generator().manual_seed(3)) == 0
    assert cut.any(dim=(1, 2, 3)).all()
    assert cut.any(dim=3).sum(dim=2).max() <= 8
    assert cut.any(dim=2).sum(dim=2).max() <= 8


def test_flip_mirrors_about_half_of_the_images_and_changes_nothing_else() -> None:
    images = pictures(64)
    flipped = augment(images, "flip", Generator().manual_seed(3))
    mirrored = (flipped == images.flip(3)).all(dim=(1, 2, 3))
    assert (mirrored | (flipped == images).all(dim=(1, 2, 3))).all()
    assert 16 < mirrored.sum() < 48


def test_saturation_leaves_grey_images_alone() -> None:
    images = pictures(channels=1)
    assert torch.allclose(augment(images, "saturation", Generator().manual_seed(0)), images)


def test_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown augmentation 'rotate': choose from brightness"):
        parse("cutout,rotate")
