"""A file's graph in torch: the pictures are those of the file, and gradients those of the network that it was written from."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from service.generator import golden
from service.generator.contract import parse
from service.generator.file.rewired import rewired
from training.encoding.differentiable import differentiable
from training.export.onnx_graph import traced

FILES = sorted((Path(__file__).parents[3] / "models").glob("*/generator.onnx"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_shipped_file_draws_its_golden_samples(path: Path) -> None:
    file = path.read_bytes()
    contract = parse(file)
    draw = differentiable(rewired(file, contract))

    def forward(z, label):
        label = None if label is None else torch.from_numpy(label)
        return draw(torch.from_numpy(z), label).to(torch.uint8).numpy()

    found = golden.compare(contract, forward)
    assert found is not None
    assert found.excess("fp32") is None


class Strange(nn.Module):
    """What generators from elsewhere are made of, and the shipped ones are not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8 * 9),
            nn.LayerNorm(8 * 9),
            nn.Unflatten(1, (8, 3, 3)),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(8, 8, 3, padding=1, groups=2, dilation=1),
            nn.InstanceNorm2d(8, affine=True),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1),
            nn.Softplus(),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Tensor) -> Tensor:
        style, z = z.split([2, 6], dim=1)
        x = (
            self.layers(z)
            * style[:, :1, None, None].exp()
            / (1 + style.square().mean(1)[:, None, None, None])
        )
        return torch.where(x > 0.5, x, x.abs().sqrt()).clamp(-3, 3)


def test_a_graph_from_elsewhere_has_the_values_and_gradients_of_its_network() -> None:
    torch.manual_seed(0)
    network = Strange().eval()
    graph = traced(network, {"z": torch.randn(2, 8)}, {"z": {0: torch.export.Dim("N")}}, "strange", ["image"])
    draw = differentiable(graph.SerializeToString())
    z = torch.randn(5, 8, requires_grad=True)
    want, got = network(z), draw(z, None)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    (slope,), (wanted) = (
        torch.autograd.grad(got.square().sum(), z),
        torch.autograd.grad(want.square().sum(), z),
    )
    torch.testing.assert_close(slope, wanted[0], rtol=1e-3, atol=1e-3)
