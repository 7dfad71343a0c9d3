"""The sliced Wasserstein distance, where it is known."""

import math

import numpy as np
import pytest

from training.evaluation.quality.sliced import blurred, sliced_wasserstein


def flat(levels):
    """Images of one grey level each, 16x16."""
    return np.broadcast_to(levels[:, None, None, None], (len(levels), 1, 16, 16)).astype(np.uint8)


def test_two_levels_are_as_far_from_a_uniform_one_as_they_are_in_one_dimension() -> None:
    rng = np.random.default_rng(0)
    two = rng.permutation(np.repeat([64, 192], 1000))
    uniform = rng.permutation(np.linspace(20, 230, 2000)).round()
    # Normalised, they are +-1 and uniform to +-sqrt(3); and a flat patch along a random direction is its level times the sum of
    # the direction's 49 numbers, which is all but a standard normal number.
    want = (2.5 / math.sqrt(3) - 1) * math.sqrt(2 / math.pi)
    assert sliced_wasserstein(flat(two), flat(uniform)) == {16: pytest.approx(want, rel=0.08)}


def test_the_same_images_in_another_order_are_hardly_apart() -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 3, 32, 32), dtype=np.uint8)
    distances = sliced_wasserstein(images, images[::-1])
    assert list(distances) == [32, 16]
    assert max(distances.values()) < 0.02


def test_fine_texture_is_seen_at_the_finest_scale_alone() -> None:
    import torch

    # Fine stripes on broad ones, in random places; then the fine ones turned by a quarter, which only the finest level holds.
    rng = np.random.default_rng(0)
    x = np.arange(64) + rng.integers(0, 64, (200, 1))
    broad = np.broadcast_to(np.sin(2 * np.pi * x / 32)[:, None, None], (200, 1, 64, 64))
    fine = np.broadcast_to(np.sin(2 * np.pi * x / 3)[:, None, None], (200, 1, 64, 64))

    def as_pixels(image):
        return (128 + 60 * image).round().astype(np.uint8)

    distances = sliced_wasserstein(
        as_pixels(broad + fine / 2), as_pixels(broad + fine.transpose(0, 1, 3, 2) / 2)
    )
    assert list(distances) == [64, 32, 16]
    assert distances[64] > 10 * distances[16]
    flat_image = torch.full((1, 1, 8, 8), 3.0)
    assert torch.allclose(blurred(flat_image), flat_image)
