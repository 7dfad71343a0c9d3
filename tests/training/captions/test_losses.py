"""GAN-CLS against the paper's formula, and what half way between two texts is."""

import math

import pytest
import torch

from training.captions.losses import matching_aware_discriminator_loss
from training.captions.networks import Encoder


def test_the_loss_is_algorithm_1():
    real, wrong, fake = torch.tensor([0.3, 2.0]), torch.tensor([-1.0, 0.5]), torch.tensor([0.1, -0.7])
    s_r, s_w, s_f = real.sigmoid(), wrong.sigmoid(), fake.sigmoid()
    want = -(s_r.log() + ((1 - s_w).log() + (1 - s_f).log()) / 2).mean()
    torch.testing.assert_close(matching_aware_discriminator_loss(real, wrong, fake), want)
    nothing = torch.zeros(4)
    assert matching_aware_discriminator_loss(nothing, nothing, nothing).item() == pytest.approx(
        2 * math.log(2)
    )


def test_half_way_is_the_mean_of_two_vectors_and_padding_says_nothing():
    torch.manual_seed(0)
    encoder = Encoder(words=9, out=5)
    a, b = torch.tensor([[1, 2, 0, 0]]), torch.tensor([[3, 0, 0, 0]])
    torch.testing.assert_close(encoder(torch.stack([a, b], dim=1)), (encoder(a) + encoder(b)) / 2)
    torch.testing.assert_close(encoder(torch.tensor([[1, 2, 0, 0, 0, 0]])), encoder(a))
    assert not torch.allclose(encoder(torch.tensor([[2, 1, 0, 0]])), encoder(a)), "neighbours are seen"
    assert torch.isfinite(encoder(torch.zeros(1, 4, dtype=torch.int64))).all()
