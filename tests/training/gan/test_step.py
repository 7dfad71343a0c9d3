from dataclasses import replace

import pytest
import torch

from tests.training.pictures import squares
from training.data.dataset import real_batches
from training.device import choose_precision
from training.gan.state import State, new_state
from training.gan.step import Trainer, draws, learning_rate_share, r1_gamma, train_step
from training.settings import Settings

CPU = torch.device("cpu")
SETTINGS = Settings(width=8, z_dim=6, label_dim=4, batch=4, images=1000)


def start(settings: Settings) -> tuple[Trainer, State]:
    dataset = squares(60, 30)
    batches = real_batches(dataset, settings.seed, settings.batch, CPU)
    trainer = Trainer(settings, 3, CPU, batches, choose_precision("fp32", CPU)[0])
    return trainer, new_state(settings, dataset.spec, CPU)


def test_step_moves_both_networks_and_counts_the_images_that_d_saw() -> None:
    trainer, state = start(replace(SETTINGS, d_steps=3))
    before = [[p.clone() for p in network.parameters()] for network in (state.G, state.D)]
    figures = train_step(trainer, state)
    assert state.images_seen == 3 * 4
    for network, old in zip((state.G, state.D), before, strict=True):
        assert any(not torch.equal(p, was) for p, was in zip(network.parameters(), old, strict=True))
    assert set(figures) >= {"loss/D", "loss/G", "D(x)", "D(G(z))", "gradient/D", "gradient/G"}


def test_r1_is_computed_in_every_eighth_update_of_d() -> None:
    trainer, state = start(SETTINGS)
    with_r1 = ["penalty/R1" in train_step(trainer, state) for _ in range(17)]
    assert [k for k, there in enumerate(with_r1) if there] == [0, 8, 16]


def test_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    ends = []
    for seed in (0, 0, 1):
        trainer, state = start(replace(SETTINGS, seed=seed))
        for _ in range(3):
            train_step(trainer, state)
        ends.append(torch.cat([p.flatten() for p in state.G.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_draws_of_updates_and_purposes_differ() -> None:
    first = [torch.rand(4, generator=draws(0, k, purpose)).tolist() for k in range(50) for purpose in (0, 1)]
    assert len({tuple(row) for row in first}) == 100


def test_learning_rate_is_constant_for_half_and_ends_at_a_tenth() -> None:
    assert learning_rate_share(SETTINGS, 0.0) == learning_rate_share(SETTINGS, 0.5) == 1
    assert learning_rate_share(SETTINGS, 0.75) == pytest.approx(0.55)
    assert learning_rate_share(SETTINGS, 1.0) == learning_rate_share(SETTINGS, 1.2) == pytest.approx(0.1)


def test_r1_strength_falls_geometrically() -> None:
    assert [r1_gamma(SETTINGS, progress) for progress in (0, 0.5, 1)] == pytest.approx(
        [0.2, 0.2**0.5 * 0.04**0.5, 0.04]
    )
    assert r1_gamma(replace(SETTINGS, r1_gamma=0), 0.5) == 0
