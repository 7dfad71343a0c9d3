"""The generator as it is served: the same function in fewer operations."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.gan.networks import residual
from training.gan.networks.layers import ConditionalBatchNorm, ImageConv, UpsampledConv


class ConditionalAffine(nn.Module):
    """x * scale(condition) + shift(condition): a conditional batch norm whose statistics are frozen."""

    def __init__(self, norm: ConditionalBatchNorm) -> None:
        super().__init__()
        statistics, scale_shift = norm.normalise, norm.scale_shift
        assert statistics.running_mean is not None
        assert statistics.running_var is not None
        # With m, s the frozen mean and deviation: (x - m)/s * (1 + a(c)) + b(c), where a and b are linear in
        # the condition c, is x * A(c) + B(c) with A = (1 + a)/s and B = b - m A, which are linear in c too.
        inverse = torch.rsqrt(statistics.running_var.double() + statistics.eps)
        mean = statistics.running_mean.double()
        weight_a, weight_b = scale_shift.weight.double().chunk(2)
        bias_a, bias_b = scale_shift.bias.double().chunk(2)
        weight_scale, bias_scale = weight_a * inverse[:, None], (1 + bias_a) * inverse
        # As convolutions of one position: after linear layers OpenVINO reorders every image that they scale.
        self.scale = _conv1x1(weight_scale, bias_scale)
        self.shift = _conv1x1(weight_b - mean[:, None] * weight_scale, bias_b - mean * bias_scale)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, H, W]. condition: [N, condition_dim]."""
        position = condition[:, :, None, None]
        return x * self.scale(position) + self.shift(position)


class PhasedImageConv(nn.Module):
    """An `ImageConv` that convolves first and shuffles last, when there is little left to move."""

    def __init__(self, conv: ImageConv) -> None:
        super().__init__()
        assert conv.bias is not None
        # Four neighbouring results, the upper left one at an odd row and column, see the same four small pixels.
        phases = [F.pixel_unshuffle(kernel, 2) for kernel in _shifts(conv.weight.detach())]
        weight = torch.stack(phases, dim=1).flatten(0, 1)
        self.conv = nn.Conv2d(weight.shape[1], weight.shape[0], 2, padding=1)
        self.conv.weight = nn.Parameter(weight)
        self.conv.bias = nn.Parameter(conv.bias.detach().repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 4 channels_in, H, W]. Returns [N, channels_out, 2H, 2W] in [-1, 1]."""
        return F.pixel_shuffle(torch.tanh(self.conv(x)), 2)[:, :, 1:-1, 1:-1]


def transposed(conv: UpsampledConv) -> nn.ConvTranspose2d:
    """The same function of the small image: 16 products for every small pixel and pair of channels, not 36."""
    assert conv.bias is not None
    layer = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    # A small pixel is four equal ones, and the kernel spreads each of them.
    spread = torch.stack(_shifts(conv.weight.detach().double().flip(2, 3))).sum(dim=0)
    layer.weight = nn.Parameter(spread.transpose(0, 1).float().contiguous())
    layer.bias = nn.Parameter(conv.bias.detach())
    return layer


_SERVED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    ConditionalBatchNorm: ConditionalAffine,
    UpsampledConv: transposed,
    ImageConv: PhasedImageConv,
}


def fold(generator: nn.Module) -> nn.Module:
    """A copy in eval mode without frozen batch norms, weight parametrisations and convolutions of doubled images.

    A plain batch norm folds into the convolution before it, where both are neighbours in a Sequential.
    """
    folded = copy.deepcopy(generator).eval()
    if isinstance(folded, residual.Generator):
        _read_classes(folded)
    for module in list(folded.modules()):
        if parametrize.is_parametrized(module):
            # torch removes the property from the class, which the copy still shares with the original.
            shared = type(module)
            unshared: Any = module
            unshared.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            for name in list(module.parametrizations):  # pyright: ignore[reportArgumentType]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if isinstance(module, nn.Sequential):
            _fuse_norms(module)
        for name, child in list(module.named_children()):
            for trained, served in _SERVED.items():
                if isinstance(child, trained):
                    setattr(module, name, served(child))
    return folded.requires_grad_(False)


def _read_classes(generator: residual.Generator) -> None:
    """What reads a class's embedding reads the class, one number for each, where that is fewer: a tenth of some files."""
    if not isinstance(generator.embed, nn.Embedding):  # it reads a text
        return
    table = generator.embed.weight.detach().double()
    classes, numbers = table.shape
    if classes >= numbers:
        return
    norms = [norm.scale_shift for norm in generator.modules() if isinstance(norm, ConditionalBatchNorm)]
    for linear in (generator.project, *norms):
        of_z, of_class = linear.weight.detach().double().tensor_split([linear.in_features - numbers], dim=1)
        linear.weight = nn.Parameter(torch.cat([of_z, of_class @ table.T], dim=1).float())
    generator.embed.weight = nn.Parameter(torch.eye(classes))


def _fuse_norms(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        conv, norm = layers[index], layers[index + 1]
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(conv, nn.ConvTranspose2d)
            layers[index] = fuse_conv_bn_eval(conv.double(), norm.double(), transposed).float()
            layers[index + 1] = nn.Identity()


def _shifts(kernel: Tensor) -> list[Tensor]:
    """kernel: [..., 3, 3]. Returns the four [..., 4, 4] that hold it in a corner, row by row."""
    return [F.pad(kernel, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]


def _conv1x1(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """weight: [O, I]. bias: [O]."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    conv.weight = nn.Parameter(weight.float()[:, :, None, None])
    conv.bias = nn.Parameter(bias.float())
    return conv
