import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from training.export.folding import ConditionalAffine, PhasedImageConv, fold, transposed
from training.gan.networks import build_generator, residual
from training.gan.networks.layers import ConditionalBatchNorm, ImageConv, UpsampledConv
from training.presets import settings_of
from training.settings import ImageSpec


def trained_norm() -> ConditionalBatchNorm:
    """One with statistics and weights far from where they start."""
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(5, 7)
    nn.init.normal_(norm.scale_shift.weight)
    nn.init.normal_(norm.scale_shift.bias)
    for _ in range(30):
        norm(3 + 2 * torch.randn(8, 5, 4, 4), torch.randn(8, 7))
    return norm.eval()


def test_a_folded_norm_computes_the_frozen_norm():
    norm = trained_norm()
    x, condition = torch.randn(6, 5, 4, 4), torch.randn(6, 7)
    torch.testing.assert_close(
        ConditionalAffine(norm)(x, condition), norm(x, condition), rtol=1e-5, atol=1e-5
    )


def test_a_transposed_convolution_computes_the_convolution_of_the_doubled_image():
    torch.manual_seed(0)
    conv = UpsampledConv(5, 3)
    x = torch.randn(2, 5, 4, 7)
    folded = transposed(conv)(x)
    assert folded.shape == (2, 3, 8, 14)
    torch.testing.assert_close(folded, conv(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_that_is_shuffled_last_is_the_image_that_was_shuffled_first(channels):
    torch.manual_seed(0)
    conv = ImageConv(5, channels)
    x = torch.randn(2, 20, 4, 7)
    folded = PhasedImageConv(conv)(x)
    assert folded.shape == (2, channels, 8, 14)
    torch.testing.assert_close(folded, conv(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [UpsampledConv(2, 3), ImageConv(2, 3)])
def test_spectral_norm_is_folded_into_convolutions_that_double_the_image(layer):
    parametrised = nn.Sequential(spectral_norm(layer)).eval()
    folded = fold(parametrised)
    x = torch.randn(2, 8 if isinstance(layer, ImageConv) else 2, 5, 5)
    torch.testing.assert_close(folded(x), parametrised(x), rtol=1e-5, atol=1e-6)
    assert not [module for module in folded.modules() if isinstance(module, UpsampledConv | ImageConv)]
    assert not [name for name in folded.state_dict() if "parametrizations" in name]


def test_a_folded_copy_has_no_batch_norm_and_leaves_the_original_alone():
    original = nn.Sequential(nn.Identity(), nn.ModuleDict({"norm": trained_norm()}))
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    folded = fold(original)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module for module in original.modules() if isinstance(module, nn.BatchNorm2d)]
    for name, tensor in original.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("layer", [nn.Linear(4, 6), nn.Conv2d(4, 6, 3)])
def test_spectral_norm_becomes_a_plain_weight(layer):
    parametrised = nn.Sequential(spectral_norm(layer)).eval()
    folded = fold(parametrised)
    x = torch.randn(2, 4) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(folded(x), parametrised(x), rtol=1e-6, atol=1e-6)
    assert set(folded.state_dict()) == {"0.weight", "0.bias"}


@torch.no_grad()
@pytest.mark.parametrize(("classes", "read"), [(3, 3), (40, 16)])
def test_where_classes_are_fewer_than_numbers_in_an_embedding_layers_read_the_class_itself(classes, read):
    torch.manual_seed(0)
    spec = ImageSpec("any", 1, 28, 28, tuple(map(str, range(classes))))
    generator = build_generator(settings_of("ns-r1", width=8, z_dim=6, label_dim=16), spec).eval()
    for weight in generator.parameters():
        nn.init.normal_(weight, std=0.2)
    folded = fold(generator)
    assert isinstance(generator, residual.Generator)
    assert isinstance(folded, residual.Generator)
    z, label = torch.randn(9, 6), torch.arange(9) % classes
    torch.testing.assert_close(folded(z, label), generator(z, label), rtol=1e-4, atol=1e-5)
    assert folded.embed.weight.shape == (classes, read)
    assert folded.project.weight.shape[1] == 6 + read
    assert generator.embed.weight.shape == (classes, 16), "the original is as it was"
