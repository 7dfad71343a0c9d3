"""The networks, at every side that data sets have, and CycleGAN's pool."""

import numpy as np
import pytest
import torch

from training.settings import ImageSpec
from training.translation.networks import Discriminator, Generator, Pool


def spec(side: int, channels: int = 3) -> ImageSpec:
    return ImageSpec("any", channels, side, side, ("image",))


@pytest.mark.parametrize(("side", "patch"), [(28, 16), (32, 16), (64, 34), (128, 70)])
def test_a_logit_sees_its_patch_and_no_more(side, patch):
    torch.manual_seed(0)
    D = Discriminator(1 + 3, spec(side), 4)
    # Norms see the whole picture, to scale it.
    for layer in D.layers:
        if hasattr(layer, "scale"):
            layer.forward = lambda x: x
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    logits = D(torch.zeros(1, 1, side, side), image)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == patch


@pytest.mark.parametrize(("side", "given"), [(28, 28), (28, 7), (32, 8), (64, 64), (128, 32)])
def test_a_picture_of_any_part_of_the_size_gives_an_image_of_the_size(side, given):
    torch.manual_seed(0)
    G, picture = Generator(1, spec(side), 4), torch.rand(3, 1, given, given)
    with torch.no_grad():
        image, alone = G(picture), G(picture[1:2])
    assert image.shape == (3, 3, side, side)
    assert image.abs().max() <= 1
    # No batch norm: others of the batch have no say.
    torch.testing.assert_close(image[1:2], alone, rtol=0, atol=1e-4)


def test_the_pool_keeps_fifty_and_gives_half_of_the_new_ones_an_earlier_one_instead():
    pool, rng = Pool(spec(28)), np.random.default_rng(0)
    fakes = torch.arange(450.0).view(450, 1, 1, 1).expand(450, 3, 28, 28)
    assert pool(fakes[:50], rng)[:, 0, 0, 0].tolist() == list(range(50)), "as long as it has room"
    shown = pool(fakes[50:], rng)[:, 0, 0, 0]
    new = shown == torch.arange(50.0, 450)
    assert 160 < int(new.sum()) < 240
    # Each is shown once or still held, and none is lost.
    held = pool.images[:, 0, 0, 0]
    assert sorted([*shown.tolist(), *held.tolist()]) == list(range(450))
