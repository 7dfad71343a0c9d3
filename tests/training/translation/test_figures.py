"""Figures of pairs whose truth is known."""

import numpy as np
import pytest

from training.translation.figures import l1, psnr, sharpness, ssim


def test_equal_pictures_are_at_the_best_of_every_figure():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28), dtype=np.uint8)
    assert l1(images, images).tolist() == [0, 0]
    assert ssim(images, images) == pytest.approx([1, 1])
    assert psnr(images, images) == pytest.approx([20 * np.log10(255) + 10 * np.log10(images[0].size)] * 2)


def test_flat_pictures_are_by_hand():
    a, b = (np.full((1, 1, 28, 28), level, np.uint8) for level in (100, 110))
    assert l1(a, b) == pytest.approx([10])
    assert psnr(a, b) == pytest.approx([20 * np.log10(255 / 10)])
    c1 = 2.55**2
    assert ssim(a, b) == pytest.approx([(2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)])
    assert sharpness(a).tolist() == [0]


def test_noise_lowers_the_similarity_and_blur_the_sharpness():
    rng = np.random.default_rng(0)
    real = np.kron(rng.integers(0, 200, (4, 1, 7, 7)), np.ones((4, 4))).astype(np.uint8)
    noisy = real + rng.integers(0, 50, real.shape, dtype=np.uint8)
    assert (ssim(noisy, real) < 0.95).all()
    blurred = ((real.astype(int) + np.roll(real, 1, axis=3) + np.roll(real, -1, axis=3)) // 3).astype(
        np.uint8
    )
    assert (sharpness(blurred) < sharpness(real)).all()
    # Covariance of 0: only the means agree.
    assert ssim(255 - noisy, noisy).max() < 0
