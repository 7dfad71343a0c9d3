"""The generator as it is served: the same function in fewer operations."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.networks.layers import ConditionalBatchNorm


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
        self.scale = _linear(weight_scale, bias_scale)
        self.shift = _linear(weight_b - mean[:, None] * weight_scale, bias_b - mean * bias_scale)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, H, W]. condition: [N, condition_dim]."""
        return x * self.scale(condition)[:, :, None, None] + self.shift(condition)[:, :, None, None]


def fold(generator: nn.Module) -> nn.Module:
    """A copy in eval mode whose frozen batch norms and weight parametrisations are plain weights."""
    folded = copy.deepcopy(generator).eval()
    for module in list(folded.modules()):
        if parametrize.is_parametrized(module):
            # torch removes the property from the class, which the copy still shares with the original.
            shared = type(module)
            unshared: Any = module
            unshared.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            for name in list(module.parametrizations):  # pyright: ignore[reportArgumentType]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for name, child in list(module.named_children()):
            if isinstance(child, ConditionalBatchNorm):
                setattr(module, name, ConditionalAffine(child))
    return folded.requires_grad_(False)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight.float(), bias.float()
    return linear
