"""MeanFlow: its target where the mean velocity is known, its weight by hand, its times; and what a run of it does without a D."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_presets import narrow, start
from tests.training.tiny import command, write_npz
from training.gan.draws import flow_times
from training.gan.flow import velocity_change
from training.gan.losses import mean_flow_loss, mean_flow_target
from training.gan.networks.flow import Generator, preconditioning
from training.gan.step import train_step
from training.run.watchdogs import COLLAPSE, Watch, remedy

Z = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]]).view(3, 1, 1, 2)
R, T = torch.tensor([0.1, 0.6, 0.3]), torch.tensor([0.8, 0.6, 1.0])
LABEL = torch.zeros(3, dtype=torch.int64)


Mean = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A mean velocity that is written down, of z, r and t."""


def target(mean: Mean, v: Tensor) -> tuple[Tensor, Tensor]:
    """du/dt of the rows above, and u_tgt."""

    def u(z: Tensor, r: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return mean(z, r.view(-1, 1, 1, 1), t.view(-1, 1, 1, 1))

    change = velocity_change(u, Z, v, R, T, LABEL)
    return change, mean_flow_target(v, change, R, T)


def test_of_a_linear_u_the_change_is_its_matrix_by_v_and_its_slope_in_t() -> None:
    matrix = torch.tensor([[2.0, 1.0], [0.0, -1.0]])
    change, wanted = target(lambda z, r, t: z @ matrix + 5 * t - 7 * r, v := Z + 1)
    by_hand = v @ matrix + 5
    torch.testing.assert_close(change[[0, 2]], by_hand[[0, 2]])
    torch.testing.assert_close(
        wanted[[0, 2]], (v - torch.tensor([0.7, 0, 0.7]).view(3, 1, 1, 1) * by_hand)[[0, 2]]
    )


def test_where_r_is_t_the_target_is_the_velocity() -> None:
    change, wanted = target(lambda z, r, t: z.square() * t, v := Z - 4)
    assert not change[1].any()
    assert torch.equal(wanted[1], v[1])
    nowhere_apart = velocity_change(lambda z, *_: z, Z, v, T, T, LABEL)
    assert not nowhere_apart.any()


def test_the_true_mean_velocity_of_a_flow_is_its_own_target() -> None:
    """Of dz/dt = z, whose mean from r to t is z_t (1 - exp(r - t)) / (t - r): what both integrals of the paper say."""

    def mean(z: Tensor, r: Tensor, t: Tensor) -> Tensor:
        return z * -torch.expm1(r - t) / (t - r)

    _, wanted = target(mean, Z)
    apart = [0, 2]
    torch.testing.assert_close(wanted[apart], mean(Z, R.view(3, 1, 1, 1), T.view(3, 1, 1, 1))[apart])


def test_a_velocity_that_leads_all_noise_to_one_picture_is_learnt_already() -> None:
    picture = torch.tensor([0.3, -0.2])
    v = (Z - picture) / T.view(3, 1, 1, 1)
    _, wanted = target(lambda z, r, t: (z - picture) / t, v)
    torch.testing.assert_close(wanted, v)


def test_an_image_weighs_as_much_as_another_however_far_off_it_is() -> None:
    u = torch.tensor([[3.0, 4.0], [0.03, 0.04]]).view(2, 1, 1, 2).requires_grad_(True)
    loss = mean_flow_loss(u, torch.zeros_like(u))
    # Squares of 25 and 0.0025, each over itself and 0.001.
    assert float(loss.detach()) == pytest.approx((25 / 25.001 + 0.0025 / 0.0035) / 2)
    loss.backward()
    assert u.grad is not None
    torch.testing.assert_close(u.grad[0].flatten(), torch.tensor([3.0, 4.0]) / 25.001)
    torch.testing.assert_close(u.grad[1].flatten(), torch.tensor([0.03, 0.04]) / 0.0035)


def test_times_are_in_order_and_half_of_them_apart() -> None:
    r, t = flow_times(4000, torch.Generator().manual_seed(0))
    assert (r <= t).all()
    assert ((r > 0) & (t < 1)).all()
    assert (r[:2000] < t[:2000]).all()
    assert torch.equal(r[2000:], t[2000:])
    # Of the larger of two logit-normal draws the median is where the law has sqrt(1/2).
    median = torch.special.ndtri(torch.tensor(math.sqrt(0.5))) * 2 - 0.4
    assert float(t.median()) == pytest.approx(float(median.sigmoid()), abs=0.02)


def test_the_network_starts_with_the_best_linear_guess() -> None:
    rng = torch.Generator().manual_seed(0)
    x, e = torch.randn(200_000, generator=rng) / 2, torch.randn(200_000, generator=rng)
    for t in (0.0, 0.3, 1.0):
        z, v = (1 - t) * x + t * e, e - x
        guess, left, scale = preconditioning(torch.tensor(t))
        assert float(guess) == pytest.approx(float((v * z).mean() / z.square().mean()), abs=0.02)
        assert float(left) == pytest.approx(float((v - guess * z).std()), abs=0.01)
        assert float(scale) == pytest.approx(float(1 / z.std()), abs=0.02)


def test_an_image_is_one_step_back_from_its_noise() -> None:
    trainer, state, dataset = start(narrow("meanflow"))
    train_step(trainer, state)
    assert isinstance(state.G, Generator)
    z, label = torch.randn(2, 28 * 28), torch.tensor([0, 2])
    noise = z.view(2, 1, 28, 28)
    from_noise = noise - state.G.velocity(noise, torch.zeros(2), torch.ones(2), label)
    torch.testing.assert_close(state.G(z, label), from_noise)
    assert trainer.settings.z_dim == 28 * 28 == dataset.spec.height**2


def test_a_run_says_nothing_of_a_discriminator_and_refuses_another_z_dim(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    words = (
        "train",
        "--data",
        data,
        "--run",
        tmp_path / "run",
        "--preset",
        "meanflow",
        "--images",
        64,
        "--batch",
        8,
    )
    small = ("--set", "width=8", "--threads", 1, "--no-tensorboard")
    refused = command(*words, *small, "--set", "z_dim=64")
    assert refused.exit_code == 1
    assert refused.output == (
        "Error: z_dim is 64: the noise of the network 'flow' is shaped as an image of stripes, which has 784 numbers; leave it out\n"
    )
    trained = command(*words, *small)
    assert trained.exit_code == 0, trained.output
    assert "64/64 images  loss " in trained.output
    assert "D(x)" not in trained.output


def test_watchdogs_ask_a_flow_for_no_discriminator_and_know_what_it_may_try() -> None:
    settings = narrow("meanflow")
    watch = Watch(settings)
    sound, wild = {"loss/G": 0.4, "gradient/G": 1e-5}, {"loss/G": 500.0, "gradient/G": 1.0}
    assert not watch.read(sound, 0) | watch.read(sound, 10**6)
    assert set(watch.read(wild, 10**6) | watch.read(wild, 10**7)) == {"divergence"}
    assert remedy(COLLAPSE, settings) == (
        "Try half the learning rates (--set lr_g=0.001 --set lr_d=0.0005), each with a new --run."
    )
