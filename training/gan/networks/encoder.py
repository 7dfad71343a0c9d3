"""E: from a picture to the z, and the class, that it is drawn from."""

from torch import Tensor, nn

from training.gan.networks.layers import halvings
from training.settings import ImageSpec


class Encoder(nn.Module):
    """Convolutions of stride 2 down to a side of 4 or less; places count, as z decides where things are.

    classes: None where the generator takes none: then there are no logits.
    """

    def __init__(self, spec: ImageSpec, z_dim: int, classes: int | None, width: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        layers = [*_layer(spec.channels, width, 4, stride=2)]
        wide, side = width, (spec.height + 1) // 2
        for _ in range(halvings(spec)):
            wider = min(2 * wide, 4 * width)
            layers += [*_layer(wide, wide, 3), *_layer(wide, wider, 4, stride=2)]
            wide, side = wider, side // 2
        layers += _layer(wide, wide, 3)
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(wide * side * side, z_dim + (classes or 0))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """image: uint8 or float, grey levels 0 to 255, [N, C, H, W]. Returns z float32 [N, z_dim], and logits [N, K]."""
        x = image.float().div(127.5).sub(1)
        found = self.head(self.trunk(x).flatten(1))
        return (found,) if found.shape[1] == self.z_dim else (found[:, : self.z_dim], found[:, self.z_dim :])


def _layer(channels_in: int, channels_out: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.LeakyReLU(0.2)]
