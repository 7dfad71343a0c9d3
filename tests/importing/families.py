"""Generators of published families in PyTorch, written small: what `ganserve import --torch` is tried on."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and shift are the class's (de Vries et al. 2017), as in SNGAN and BigGAN."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.shift = nn.Linear(condition, channels), nn.Linear(condition, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = self.gain(condition)[..., None, None], self.shift(condition)[..., None, None]
        return self.norm(x) * (1 + gain) + shift


class Block(nn.Module):
    """A residual block that doubles the sides (Miyato et al. 2018, figure 14)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(channels, condition), ConditionalNorm(channels, condition)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        large = F.interpolate(torch.relu(self.norm1(x, condition)), scale_factor=2.0)
        large = self.conv1(large)
        return F.interpolate(x, scale_factor=2.0) + self.conv2(torch.relu(self.norm2(large, condition)))


class SNGAN(nn.Module):
    """The generator of SNGAN with projection (Miyato and Koyama 2018): the class is in its norms."""

    def __init__(self, z: int = 16, classes: int = 5, channels: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, 8)
        self.first = nn.utils.spectral_norm(nn.Linear(z, channels * 16))
        self.blocks = nn.ModuleList([Block(channels, 8), Block(channels, 8)])
        self.norm, self.last = nn.BatchNorm2d(channels), nn.Conv2d(channels, 3, 3, padding=1)
        self.channels = channels

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x, condition = self.first(z).view(-1, self.channels, 4, 4), self.embedding(y)
        for block in self.blocks:
            x = block(x, condition)
        return torch.tanh(self.last(torch.relu(self.norm(x))))


class BigGAN(nn.Module):
    """Brock et al. 2019: z in parts, one for each block; attention; z truncated in training's evaluation."""

    def __init__(self, classes: int = 4, channels: int = 8) -> None:
        super().__init__()
        self.shared = nn.Embedding(classes, 6)
        self.first = nn.Linear(6, channels * 16)
        self.blocks = nn.ModuleList([Block(channels, 12), Block(channels, 12)])
        self.query, self.value = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.tensor(0.5))
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        self.channels = channels

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        parts, shared = torch.split(z, 6, dim=1), self.shared(label)
        x = self.first(parts[0]).view(-1, self.channels, 4, 4)
        for block, part in zip(self.blocks, parts[1:], strict=True):
            x = block(x, torch.cat([shared, part], 1))
        query = self.query(x).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ query, -1)
        seen = (self.value(x).flatten(2) @ weights.transpose(1, 2)).reshape(x.shape)
        return torch.tanh(self.last(torch.relu(x + self.gamma * seen)))


class StyleGAN2(nn.Module):
    """Karras et al. 2020: a mapping, truncation in w towards its mean, modulated convolutions with noise."""

    def __init__(self, z: int = 12, channels: int = 6) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(z, 12), nn.LeakyReLU(0.2), nn.Linear(12, 12))
        self.register_buffer("w_avg", torch.full((12,), 0.3))
        self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.styles = nn.ModuleList([nn.Linear(12, channels) for _ in range(2)])
        self.kernels = nn.ParameterList(
            [nn.Parameter(torch.randn(channels, channels, 3, 3)) for _ in range(2)]
        )
        self.strengths = nn.Parameter(torch.tensor([0.4, 0.6]))
        self.last = nn.Conv2d(channels, 3, 1)

    def forward(self, z: Tensor, noise_4: Tensor, noise_8: Tensor, psi: Tensor) -> Tensor:
        n = int(z.shape[0])
        w = self.mapping(z / z.square().mean(1, keepdim=True).sqrt())
        w = self.w_avg + psi.view(n, 1) * (w - self.w_avg)
        x = self.const.repeat(n, 1, 1, 1)
        for i, noise in enumerate((noise_4, noise_8)):
            if i:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
            kernels = self.kernels[i][None] * self.styles[i](w)[:, None, :, None, None]
            kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
            _, out, into, side, _ = kernels.shape
            grouped = x.reshape(1, n * into, *x.shape[2:])
            x = F.conv2d(grouped, kernels.reshape(n * out, into, side, side), padding=1, groups=n)
            x = F.leaky_relu(x.reshape(n, out, *x.shape[2:]) + self.strengths[i] * noise, 0.2)
        return torch.tanh(self.last(x))


class Consistency(nn.Module):
    """One step of a consistency model (Song et al. 2023): noise of the largest sigma, a class, and how far to go.

    Its skip connection and input scaling are those of EDM (Karras et al. 2022), with sigma_data 0.5.
    """

    def __init__(self, classes: int = 3, channels: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, channels)
        self.time = nn.Linear(2, channels)
        self.down, self.up = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 3, 3, padding=1)
        self.middle = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        s = sigma.view(-1, 1, 1, 1)
        angle = sigma.log()[:, None] / 4
        condition = self.time(torch.cat([angle.sin(), angle.cos()], 1)) + self.embedding(y)
        hidden = F.silu(self.down(x / (s**2 + 0.25).sqrt()) + condition[..., None, None])
        out = self.up(hidden + F.silu(self.middle(hidden)))
        return (0.25 / (s**2 + 0.25) * x + 0.5 * s / (s**2 + 0.25).sqrt() * out * 4).clamp(-1, 1)
