"""The judge: a classifier of the data set, in whose features generated images are compared with real ones.

Inception's features, of photographs of 299x299 pixels, say little about 28x28 garments. A classifier trained on the data
set itself sees what matters there; its figures mean something only beside its own real-vs-real floor.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.dataset import Indices, Pixels, to_float
from training.gan.networks.layers import halvings
from training.settings import ImageSpec

FEATURES = 128
_BATCH_IMAGES = 500


class Network(nn.Module):
    """A classifier: `trunk` gives the 128 penultimate features, `head` the logits."""

    def __init__(self, trunk: nn.Module, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, image: Tensor) -> Tensor:
        """image: float32 [N, C, H, W] in [-1, 1]. Returns logits, float32 [N, K]."""
        return self.head(self.trunk(image))


class Judgement(NamedTuple):
    """What a judge sees in N images. features: float32 [N, 128]. probabilities: float32 [N, K], rows sum to 1."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class Judge(NamedTuple):
    """A trained classifier, and its accuracy on the real images that it was trained on and on others.

    unseen: of the same split as those, so that the difference is what it remembers; test: of the held-out ones.
    """

    architecture: str
    train_accuracy: float
    unseen_accuracy: float
    test_accuracy: float
    network: Network

    def __call__(self, images: Pixels) -> Judgement:
        """images: uint8 [N, C, H, W]."""
        return judgement(self.network, images)


@torch.inference_mode()
def judgement(network: Network, images: Pixels) -> Judgement:
    """images: uint8 [N, C, H, W]."""
    starts = range(0, len(images), _BATCH_IMAGES)
    features = [network.trunk(to_input(images[start : start + _BATCH_IMAGES])) for start in starts]
    probabilities = [F.softmax(network.head(hidden), dim=1) for hidden in features]
    return Judgement(torch.cat(features).numpy(), torch.cat(probabilities).numpy())


def accuracy(network: Network, images: Pixels, labels: Indices) -> float:
    """The share that it takes for what they are; nan of none."""
    if not len(images):
        return float("nan")
    return float((judgement(network, images).probabilities.argmax(axis=1) == labels).mean())


def plain(spec: ImageSpec) -> nn.Module:
    """Convolution, batch norm, ReLU, max pooling; then one hidden layer, whose output is the features."""
    # The stem halves at once: layers at full resolution cost most of the time and add no accuracy.
    layers = [*_convolution(spec.channels, 32, 5, stride=2), *_convolution(32, 64, 3)]
    for _ in range(halvings(spec) - 1):
        layers += [nn.MaxPool2d(2), *_convolution(64, 64, 3)]
    left = spec.height >> halvings(spec)
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * left * left, FEATURES), nn.ReLU()]
    return nn.Sequential(*layers)


def residual(spec: ImageSpec) -> nn.Module:
    """Residual blocks with group norm and SiLU; the features are means over positions.

    Shares with `plain` neither layers nor norm nor pooling, so that it can contradict it.
    """
    width = 32
    stem = nn.Conv2d(spec.channels, width, 4, stride=2, padding=1)
    layers: list[nn.Module] = [stem, _Block(width, width, 1)]
    for _ in range(halvings(spec)):
        wider = min(2 * width, FEATURES)
        layers.append(_Block(width, wider, stride=2))
        width = wider
    layers += [nn.GroupNorm(8, FEATURES), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def mixer(spec: ImageSpec) -> nn.Module:
    """Patches, mixed over positions and over channels in turn (Tolstikhin et al. 2021, arXiv 2105.01601).

    Without convolutions it knows no neighbourhood but the patch's, so that its faults are none of the other two's.
    """
    patch = 1 << halvings(spec)
    layers = [_Mixing((spec.height // patch) ** 2) for _ in range(3)]
    embed = nn.Conv2d(spec.channels, FEATURES, patch, stride=patch)
    mean = nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.LayerNorm(FEATURES)
    return nn.Sequential(embed, nn.Flatten(2), *layers, *mean)


ARCHITECTURES = {trunk.__name__: trunk for trunk in (plain, residual, mixer)}


def build(architecture: str, spec: ImageSpec) -> Network:
    """An untrained judge for images of this shape and these classes."""
    network = Network(ARCHITECTURES[architecture](spec), spec.classes)
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def to_input(images: Pixels) -> Tensor:
    """uint8 [N, C, H, W] -> float32 [N, C, H, W] in [-1, 1]."""
    # channels_last: 909 images/s against 666 in training on one AVX2 thread.
    return to_float(images).contiguous(memory_format=torch.channels_last)


def _convolution(channels_in: int, channels_out: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels_in), nn.GroupNorm(8, channels_out)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class _Mixing(nn.Module):
    """[N, C, P] -> the same: one perceptron for all channels, then one for all positions."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(FEATURES), nn.LayerNorm(FEATURES)
        self.positions, self.channels = _perceptron(positions, 64), _perceptron(FEATURES, 2 * FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions(self.norm1(x.mT).mT)
        return x + self.channels(self.norm2(x.mT)).mT


def _perceptron(size: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))
