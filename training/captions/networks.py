"""The shipped pair, told a text where it is told a class: what a small encoder makes of the text stands in for the embedded class."""

import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import he
from training.gan.networks.residual import Discriminator, Generator
from training.settings import ImageSpec, Settings

WORD_DIM = 64


class Encoder(nn.Module):
    """Token ids -> one vector: words and their neighbours (a convolution over three of them, Kim 2014), their mean, a linear layer.

    Reed et al. trained a deeper one beforehand, with picture features (2016, arXiv 1605.05396, section 4.1); this one is
    trained with the network that it is part of, and each of the two has its own.
    """

    def __init__(self, words: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words + 1, WORD_DIM)
        self.mix = nn.Conv1d(WORD_DIM, WORD_DIM, 3, padding=1)
        self.to_vector = he(nn.Linear(WORD_DIM, out), gain=1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: int64 [N, L], 0 behind the last word; or [N, 2, L]: the vector half way between those of two texts.

        Half way is Eq. 5 of Reed et al. (GAN-INT) with their beta of 1/2. Returns float32 [N, out].
        """
        if ids.ndim == 3:
            return self(ids.flatten(0, 1)).unflatten(0, (-1, 2)).mean(dim=1)
        is_word = (ids > 0).float()[:, :, None]
        x = self.embed(ids) * is_word
        x = (x + F.relu(self.mix(x.transpose(1, 2))).transpose(1, 2)) * is_word
        # The empty text has a vector too: that of no words, the linear layer's bias.
        return self.to_vector(x.sum(dim=1) / is_word.sum(dim=1).clamp(min=1))


def build(settings: Settings, spec: ImageSpec, words: int) -> tuple[Generator, Discriminator]:
    """First weights of torch's global generator."""
    G, D = Generator(settings, spec), Discriminator(settings, spec)
    G.embed = Encoder(words, settings.label_dim)  # pyright: ignore[reportAttributeAccessIssue]
    D.embed = Encoder(words, D.linear.in_features)  # pyright: ignore[reportAttributeAccessIssue]
    return G, D
