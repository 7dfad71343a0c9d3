"""What every network promises, whichever file builds it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from training.gan.ema import settle_batch_norm
from training.gan.networks import NETWORKS, autoencoder, build_discriminator, build_generator, fitted
from training.presets import settings_of
from training.settings import ImageSpec, Settings

SPEC = ImageSpec("any", 1, 28, 28, ("a", "b", "c"))
SYSTEMS = {
    "mlp": "cgan",
    "dcgan": "wgan-gp",
    "autoencoder": "began",
    "sagan": "sagan",
    "residual": "ns-r1",
    "growing": "growing",
    "flow": "meanflow",
    "projected": "projected",
}
JUDGED = [network for network in SYSTEMS if network != "flow"]


def tiny(network: str, spec: ImageSpec = SPEC) -> Settings:
    z_dim = 0 if network == "flow" else 6
    return fitted(settings_of(SYSTEMS[network], width=8, z_dim=z_dim, label_dim=4, grow=0.0), spec)


def test_no_network_is_left_out() -> None:
    assert set(SYSTEMS) == set(NETWORKS)


@torch.no_grad()
@pytest.mark.parametrize("network", SYSTEMS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 1), (128, 3)])
def test_images_have_the_data_sets_shape_and_d_gives_a_number_each(
    network: str, size: int, channels: int
) -> None:
    spec = ImageSpec("any", channels, size, size, ("a", "b", "c"))
    settings = tiny(network, spec)
    G, D = build_generator(settings, spec), build_discriminator(settings, spec)
    label = torch.tensor([0, 2])
    images = G(torch.randn(2, settings.z_dim), label)
    assert images.shape == (2, channels, size, size)
    assert images.dtype == torch.float32
    if network not in ("autoencoder", "flow"):
        assert images.abs().max() <= 1
    if network in JUDGED:
        assert D(images, label).shape == ((2, 80) if network == "projected" else (2,))


@torch.no_grad()
@pytest.mark.parametrize("network", SYSTEMS)
def test_image_does_not_depend_on_its_batch_mates(network: str) -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny(network), SPEC)
    settle_batch_norm(generator, tiny(network), SPEC, images=512)
    z, label = torch.randn(7, tiny(network).z_dim), torch.arange(7) % 3
    together = generator(z, label)
    for index in range(7):
        alone = generator(z[index : index + 1], label[index : index + 1])
        # Pixel norm of four channels makes rounding larger where all are small: a fiftieth of a grey level here.
        assert torch.allclose(alone[0], together[index], atol=1e-4 if network == "growing" else 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("network", SYSTEMS)
def test_z_changes_the_image_and_so_does_the_class(network: str) -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny(network), SPEC).eval()
    for weight in generator.parameters():
        weight += 0.01  # a flow's last layer begins at 0
    z = torch.randn(2, tiny(network).z_dim)
    first = generator(z[:1], torch.tensor([0]))
    assert not torch.allclose(first, generator(z[1:], torch.tensor([0])), atol=1e-6)
    other_class = generator(z[:1], torch.tensor([1]))
    assert not torch.equal(first, other_class)


@torch.no_grad()
@pytest.mark.parametrize("network", JUDGED)
def test_d_is_told_the_class(network: str) -> None:
    torch.manual_seed(0)
    D = build_discriminator(tiny(network), SPEC).eval()
    image = torch.rand(1, 1, 28, 28)
    assert not torch.equal(D(image, torch.tensor([0])), D(image, torch.tensor([1])))


@pytest.mark.parametrize("network", [network for network in JUDGED if network != "growing"])
def test_discriminator_judges_rows_alone(network: str) -> None:
    """Penalties take the gradient of the sum: rows must not mix, but in the minibatch's deviation of `growing`."""
    torch.manual_seed(0)
    D = build_discriminator(tiny(network), SPEC)
    images = torch.randn(4, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(images, torch.tensor([0, 1, 0, 1]))[1].sum(), images)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2, 3]].abs().sum() == 0


@torch.no_grad()
def test_spectral_norms_of_sagan_are_1_in_both_networks() -> None:
    torch.manual_seed(0)
    G, D = build_generator(tiny("sagan"), SPEC), build_discriminator(tiny("sagan"), SPEC)
    label = torch.arange(4) % 3
    for _ in range(30):  # a step of the power iteration each
        D(G(torch.randn(4, 6), label), label)
    weights = [
        layer.weight.flatten(1)
        for network in (G.eval(), D.eval())
        for layer in network.modules()
        if is_parametrized(layer) and isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)
    ]
    assert len(weights) > 20
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2) == pytest.approx(1, abs=0.1)


@torch.no_grad()
@pytest.mark.parametrize("network", ["mlp", "autoencoder"])
def test_networks_that_are_not_told_the_class_do_not_read_it(network: str) -> None:
    settings = replace(tiny(network), conditional=False)
    G, D = build_generator(settings, SPEC).eval(), build_discriminator(settings, SPEC).eval()
    z, image, labels = torch.randn(1, settings.z_dim), torch.rand(1, 1, 28, 28), torch.tensor([[0], [2]])
    assert torch.equal(*(G(z, label) for label in labels))
    assert torch.equal(*(D(image, label) for label in labels))


@torch.no_grad()
def test_began_s_d_gives_the_error_of_its_reconstruction() -> None:
    torch.manual_seed(0)
    D = autoencoder.Discriminator(replace(tiny("autoencoder"), relative_error=False), SPEC)
    images, label = torch.rand(3, 1, 28, 28) * 2 - 1, torch.arange(3)
    absolute = (D.reconstruct(images, label) - images).abs().mean(dim=(1, 2, 3))
    assert torch.allclose(D(images, label), absolute)
    # Over its brightness, a black image's error counts for most.
    D.relative = True
    images[0] = -3
    errors = (D.reconstruct(images, label) - images).abs().mean(dim=(1, 2, 3))
    brightness = (images.clamp(min=-1).mean(dim=(1, 2, 3)) + 1) + 0.1
    assert float(brightness[0]) == pytest.approx(0.1)
    assert torch.allclose(D(images, label), errors / brightness)
