"""What half way between two texts is."""

import torch

from training.captions.networks import Encoder


def test_half_way_is_the_mean_of_two_vectors_and_padding_says_nothing():
    torch.manual_seed(0)
    encoder = Encoder(words=9, out=5)
    a, b = torch.tensor([[1, 2, 0, 0]]), torch.tensor([[3, 0, 0, 0]])
    torch.testing.assert_close(encoder(torch.stack([a, b], dim=1)), (encoder(a) + encoder(b)) / 2)
    torch.testing.assert_close(encoder(torch.tensor([[1, 2, 0, 0, 0, 0]])), encoder(a))
    assert not torch.allclose(encoder(torch.tensor([[2, 1, 0, 0]])), encoder(a)), "neighbours are seen"
    assert torch.isfinite(encoder(torch.zeros(1, 4, dtype=torch.int64))).all()
