"""What AC-GAN, ADC-GAN, InfoGAN and BiGAN add to a pair of networks: a head on D's features, codes in z, an encoder beside G."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan.networks.dcgan import Discriminator
from training.gan.networks.encoder import Encoder
from training.settings import ImageSpec, Settings

_HIDDEN = 128


class WithHead(nn.Module):
    """D of AC-GAN, ADC-GAN and InfoGAN: (image, label, z) -> its logit, and what a head finds in the same features; z is not read.

    Odena et al. 2017 name the class by one linear layer, Hou et al. 2022 the class of real images and that of generated ones, Chen et al. 2016 the codes by one hidden layer (appendix C.1).
    """

    def __init__(self, D: Discriminator, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.D, size = D, D.to_logit.weight[0].numel()
        head: list[nn.Module] = [
            nn.Linear(size, spec.classes * (1 + (settings.auxiliary == "discriminative")))
        ]
        if settings.auxiliary == "codes":
            # A mean and a log standard deviation of each continuous code, and the categorical one's logits.
            found = 2 * settings.codes + settings.categories
            head = [nn.Linear(size, _HIDDEN), nn.LeakyReLU(0.1), nn.Linear(_HIDDEN, found)]
        self.head = nn.Sequential(*head)

    def forward(self, image: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits float32 [N], and float32 [N, K], [N, 2 K] or [N, 2 codes + categories]."""
        features = self.D.features(image, label)
        with torch.autocast(image.device.type, enabled=False):
            return self.D.logit(features), self.head(features.float().flatten(1))


class Joint(nn.Module):
    """D of BiGAN: (image, label, z) -> the logit of the two together, and nothing else.

    Donahue et al. 2017 (arXiv 1605.09782, section 3 and appendix C): z joins the flattened features of a DCGAN's D.
    """

    def __init__(self, D: Discriminator, settings: Settings) -> None:
        super().__init__()
        self.D, size, hidden = D, D.to_logit.weight[0].numel(), 4 * _HIDDEN
        D.to_logit = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.of_z = nn.Linear(settings.z_dim, hidden)
        self.both = nn.Linear(size + hidden, hidden)
        self.to_logit = nn.Linear(hidden, 1)

    def forward(self, image: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits float32 [N], and float32 [N, 0]."""
        features = self.D.features(image, label).flatten(1)
        both = torch.cat([features, F.leaky_relu(self.of_z(z), 0.2)], dim=1)
        return self.to_logit(F.leaky_relu(self.both(both), 0.2)).float()[:, 0], features[:, :0]


class Coded(nn.Module):
    """G of InfoGAN: the last number of z, a category, becomes one of `categories` that is 1 (Chen et al. 2016, section 6)."""

    def __init__(self, G: nn.Module, categories: int) -> None:
        super().__init__()
        self.G, self.categories = G, categories

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """z: float32 [N, z_dim]; a category between two is the nearest. Returns float32 [N, C, H, W] in [-1, 1]."""
        category = z[:, -1:].round().clamp(0, self.categories - 1)
        values = torch.arange(self.categories, device=z.device, dtype=z.dtype)
        return self.G(torch.cat([z[:, :-1], torch.eq(category, values).to(z.dtype)], dim=1), label)


class Bidirectional(nn.Module):
    """G and E of BiGAN, which are trained, averaged and kept as one."""

    def __init__(self, G: nn.Module, settings: Settings, spec: ImageSpec) -> None:
        super().__init__()
        self.G = G
        # Half as wide as G and D, and so about as fast as they are.
        self.encoder = Encoder(spec, settings.z_dim, None, max(settings.width // 2, 1))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return self.G(z, label)

    def encode(self, image: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. Returns z, float32 [N, z_dim]."""
        return self.encoder((image + 1) * 127.5)[0]


def with_auxiliary_g(G: nn.Module, settings: Settings, spec: ImageSpec) -> nn.Module:
    match settings.auxiliary:
        case "codes":
            return Coded(G, settings.categories)
        case "pairs":
            return Bidirectional(G, settings, spec)
    return G


def with_auxiliary_d(D: nn.Module, settings: Settings, spec: ImageSpec) -> nn.Module:
    if not settings.auxiliary:
        return D
    assert isinstance(D, Discriminator)
    return Joint(D, settings) if settings.auxiliary == "pairs" else WithHead(D, settings, spec)
