import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from training.gan.ema import decay, settle_batch_norm, update
from training.gan.networks import build_generator
from training.settings import ImageSpec, Settings

SPEC = ImageSpec("any", 1, 28, 28, ("a", "b"))
SETTINGS = Settings(width=8, z_dim=6, label_dim=4, ema_half_life=1000, ema_ramp=0.1)


def test_weight_has_half_its_say_after_the_half_life() -> None:
    keep = decay(SETTINGS, images_seen=1_000_000, images=10)
    assert keep ** (1000 / 10) == pytest.approx(0.5)


def test_ramp_shortens_the_half_life_at_the_start() -> None:
    assert decay(SETTINGS, images_seen=0, images=10) == 0
    assert decay(SETTINGS, images_seen=2000, images=200) == pytest.approx(0.5)


def test_average_moves_by_what_is_not_kept() -> None:
    average, network = nn.Linear(2, 1), nn.Linear(2, 1)
    before = average.weight.clone()
    update(average, network, 0.75)
    assert torch.allclose(average.weight, 0.75 * before + 0.25 * network.weight)


@torch.no_grad()
def test_settled_statistics_normalise_what_eval_sees() -> None:
    """After settling, eval mode gives what train mode gives on a large batch."""
    generator = build_generator(SETTINGS, SPEC)
    settle_batch_norm(generator, SETTINGS, SPEC, images=4096)
    assert not generator.training
    z, label = torch.randn(2048, 6, generator=torch.Generator().manual_seed(5)), torch.arange(2048) % 2
    frozen = generator(z, label)
    batch = copy.deepcopy(generator).train()(z, label)
    assert (frozen - batch).abs().mean() < 0.01


def test_settling_again_gives_the_same_statistics() -> None:
    generator = build_generator(SETTINGS, SPEC)
    settle_batch_norm(generator, SETTINGS, SPEC, images=512)
    once = copy.deepcopy(generator.state_dict())
    settle_batch_norm(generator, SETTINGS, SPEC, images=512)
    assert all(torch.equal(value, once[key]) for key, value in generator.state_dict().items())


def test_a_generator_that_keeps_no_statistics_draws_nothing_for_them() -> None:
    settings = replace(SETTINGS, network="mlp")
    generator = build_generator(settings, SPEC)
    generator.register_forward_hook(lambda *_: pytest.fail("it was asked for images"))
    settle_batch_norm(generator, settings, SPEC)
    assert not generator.training
