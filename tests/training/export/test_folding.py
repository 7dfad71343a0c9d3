import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from training.export.folding import ConditionalAffine, PhasedImageConv, fold, transposed
from training.gan.networks.layers import ConditionalBatchNorm, ImageConv, UpsampledConv


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
