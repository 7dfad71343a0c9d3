"""DCGAN by its five guidelines, told the class; also the critic of the Wasserstein presets.

Radford et al. 2016 (arXiv 1511.06434, section 3): strided convolutions in D and fractionally
strided ones in G for pooling, batch norm in both but for G's last layer and D's first, no hidden
fully connected layer, ReLU in G and tanh at its end, LeakyReLU in D. Weights begin as N(0, 0.02).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.layers import channels_at, halvings
from training.settings import ImageSpec, Settings


class Generator(nn.Module):
    """(z, label) -> image: the embedded class stands beside z."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels = halvings(spec)
        first = (spec.height >> levels, spec.width >> levels)
        wide = channels_at(settings, levels)
        self.embed = nn.Embedding(spec.classes, settings.label_dim)
        # Of one position: the matrix product whose result is "reshaped into a 4-dimensional tensor".
        layers = [
            nn.ConvTranspose2d(settings.z_dim + settings.label_dim, wide, first, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        for level in range(levels - 1, 0, -1):
            narrow = channels_at(settings, level)
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(),
            ]
            wide = narrow
        self.layers = nn.Sequential(*layers)
        self.to_image = nn.ConvTranspose2d(wide, spec.channels, 4, stride=2, padding=1)
        self.apply(initialise)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]. label: int64 [N]. Returns float32 [N, C, H, W] in [-1, 1]."""
        x = torch.cat([z, self.embed(label)], dim=1)[:, :, None, None]
        return torch.tanh(self.to_image(self.layers(x)).float())


class Discriminator(nn.Module):
    """(image, label) -> logit: the class is a further channel, a learnt picture of each class."""

    def __init__(self, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        levels = halvings(spec)
        # What names the class (AC-GAN) is not told it.
        self.embed = None if settings.auxiliary else nn.Embedding(spec.classes, spec.height * spec.width)
        wide = channels_at(settings, 1)
        layers = [
            nn.Conv2d(spec.channels + (self.embed is not None), wide, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for level in range(2, levels + 1):
            wider = channels_at(settings, level)
            layers.append(nn.Conv2d(wide, wider, 4, stride=2, padding=1, bias=not settings.batch_norm_d))
            layers += [nn.BatchNorm2d(wider)] if settings.batch_norm_d else []
            layers.append(nn.LeakyReLU(0.2))
            wide = wider
        self.layers = nn.Sequential(*layers)
        self.to_logit = nn.Conv2d(wide, 1, (spec.height >> levels, spec.width >> levels))
        self.apply(initialise)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. label: int64 [N]. Returns logits, float32 [N]."""
        return self.logit(self.features(image, label))

    def features(self, image: Tensor, label: Tensor) -> Tensor:
        """[N, channels, H, W] of the last resolution, before the logit."""
        if self.embed is None:
            return self.layers(image)
        picture = self.embed(label).view(-1, 1, *image.shape[2:])
        return self.layers(torch.cat([image, picture], dim=1))

    def logit(self, features: Tensor) -> Tensor:
        # In fp32 also under autocast: a logit is a long sum, and a critic's differences are small.
        with torch.autocast(features.device.type, enabled=False):
            return F.conv2d(features.float(), self.to_logit.weight, self.to_logit.bias).flatten()


def initialise(layer: nn.Module) -> None:
    """Weights ~ N(0, 0.02), batch norm's scale ~ N(1, 0.02) as in the authors' program, biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, mean=float(isinstance(layer, nn.BatchNorm2d)), std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
