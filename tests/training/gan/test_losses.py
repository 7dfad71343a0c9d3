import math

import pytest
import torch

from training.gan.losses import (
    LOSSES,
    began_balance,
    began_convergence,
    cycle_loss,
    discriminator_loss,
    matching_aware_discriminator_loss,
    non_saturating_generator_loss,
    pix2pix_generator_loss,
    saturating_generator_loss,
)


def test_discriminator_that_cannot_tell_loses_log_4() -> None:
    """Goodfellow et al. 2014, Theorem 1: D = 1/2 everywhere."""
    assert torch.isclose(discriminator_loss(torch.zeros(5), torch.zeros(5)), torch.tensor(math.log(4)))


def test_discriminator_loss_is_minus_the_value_function() -> None:
    real, fake = torch.tensor([0.3, -2.0, 4.0]), torch.tensor([1.0, -0.5, 0.0])
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    assert torch.isclose(discriminator_loss(real, fake), -value)


def test_losses_are_finite_where_the_sigmoid_overflows() -> None:
    far = torch.tensor([1e4])
    assert discriminator_loss(-far, far) == 2e4
    assert non_saturating_generator_loss(-far) == 1e4


def test_non_saturating_gradient_stays_where_the_saturating_one_vanishes() -> None:
    """Section 3: where D is sure of the fakes, log(1 - D) is flat and log D is steep."""
    logits = torch.full((1,), -20.0, requires_grad=True)
    (steep,) = torch.autograd.grad(non_saturating_generator_loss(logits), logits)
    (flat,) = torch.autograd.grad(saturating_generator_loss(logits), logits)
    assert torch.isclose(steep, torch.tensor([-1.0]))
    assert flat.abs() < 1e-6


# ---- by hand: real logits 2 and -1, fake logits 0.5 and -1 -----------------------------------

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -1.0])


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        # E log(1 - D) = (ln(1 - 0.622459) + ln(1 - 0.268941)) / 2.
        ("minimax", 1.363764, -0.643670),
        # -E log D = (-ln 0.622459 - ln 0.268941) / 2.
        ("non_saturating", 1.363764, 0.893670),
        # ((1 + 4) / 2 + (0.25 + 1) / 2) / 2; ((0.25 + 4) / 2) / 2.
        ("least_squares", 1.5625, 1.0625),
        # -0.25 - 0.5; -(-0.25).
        ("wasserstein", -0.75, 0.25),
        # (0 + 2) / 2 + (1.5 + 0) / 2; as the Wasserstein one.
        ("hinge", 1.75, 0.25),
        # D: fake - real = -1.5, 0: (ln(1 + e^-1.5) + ln 2) / 2. G: (ln(1 + e^1.5) + ln 2) / 2.
        ("relativistic", 0.447280, 1.197280),
    ],
)
def test_losses_are_those_worked_by_hand(name: str, discriminator: float, generator: float) -> None:
    loss = LOSSES[name]
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator, abs=2e-6)
    seen = (REAL, FAKE) if loss.relativistic else (FAKE,)
    assert float(loss.generator(*seen)) == pytest.approx(generator, abs=2e-6)


def test_began_weighs_the_fakes_error_by_k() -> None:
    real, fake = torch.tensor([0.2, 0.4]), torch.tensor([0.5, 0.1])
    loss = LOSSES["began"]
    assert float(loss.discriminator(real, fake, torch.tensor(0.25))) == pytest.approx(0.3 - 0.25 * 0.3)
    assert float(loss.generator(fake)) == pytest.approx(0.3)


def test_began_balance_moves_to_equilibrium_and_stays_in_0_to_1() -> None:
    real, fake = torch.tensor(0.4), torch.tensor(0.1)
    # gamma L(x) - L(G(z)) = 0.5 * 0.4 - 0.1 = 0.1.
    k = began_balance(torch.tensor(0.2), real, fake, gamma=0.5, rate=0.3)
    assert float(k) == pytest.approx(0.23)
    assert float(began_convergence(real, fake, gamma=0.5)) == pytest.approx(0.5)
    assert float(began_balance(torch.tensor(0.99), real, fake, gamma=0.5, rate=1)) == 1
    assert float(began_balance(torch.tensor(0.01), fake, real, gamma=0.5, rate=1)) == 0
    # At equilibrium, L(G(z)) = gamma L(x), k rests.
    assert float(began_balance(torch.tensor(0.7), real, real / 2, gamma=0.5, rate=1)) == pytest.approx(0.7)


def test_the_hinge_loss_leaves_alone_what_is_on_its_side_of_the_margin() -> None:
    real, fake = torch.tensor([1.5, 0.0], requires_grad=True), torch.tensor([-1.5, 0.0], requires_grad=True)
    LOSSES["hinge"].discriminator(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0, -0.5]
    assert fake.grad.tolist() == [0, 0.5]


def test_a_relativistic_loss_sees_differences_only() -> None:
    loss = LOSSES["relativistic"]
    assert torch.isclose(loss.discriminator(REAL + 7, FAKE + 7), loss.discriminator(REAL, FAKE))
    assert float(loss.discriminator(REAL, REAL)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_losses_meet_finite_differences(name: str) -> None:
    loss = LOSSES[name]
    real, fake = (logits.double().requires_grad_(True) for logits in (REAL * 0.7, FAKE * 0.7))
    more = (torch.tensor(0.3, dtype=torch.float64),) if loss.balanced else ()
    assert torch.autograd.gradcheck(lambda r, f: loss.discriminator(r, f, *more), (real, fake))
    seen = (real, fake) if loss.relativistic else (fake,)
    assert torch.autograd.gradcheck(loss.generator, seen)


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_pull_in_opposite_directions(name: str) -> None:
    """D's descent lowers what it says of fakes (BEGAN: raises their error), and G's descent the contrary."""
    loss = LOSSES[name]
    fake = torch.zeros(2, requires_grad=True)
    more = (torch.tensor(0.3),) if loss.balanced else ()
    (by_d,) = torch.autograd.grad(loss.discriminator(torch.full((2,), 0.5), fake, *more), fake)
    seen = (torch.full((2,), 0.5), fake) if loss.relativistic else (fake,)
    (by_g,) = torch.autograd.grad(loss.generator(*seen), fake)
    if name == "least_squares":
        # D is content with a fake at a = 0, where it was; G wants it at 1.
        assert by_d.tolist() == [0, 0]
        assert (by_g < 0).all()
    else:
        assert (by_d * by_g < 0).all()


def test_gan_cls_is_algorithm_1() -> None:
    real, wrong, fake = torch.tensor([0.3, 2.0]), torch.tensor([-1.0, 0.5]), torch.tensor([0.1, -0.7])
    s_r, s_w, s_f = real.sigmoid(), wrong.sigmoid(), fake.sigmoid()
    want = -(s_r.log() + ((1 - s_w).log() + (1 - s_f).log()) / 2).mean()
    torch.testing.assert_close(matching_aware_discriminator_loss(real, wrong, fake), want)
    nothing = torch.zeros(4)
    cannot_tell = matching_aware_discriminator_loss(nothing, nothing, nothing)
    assert cannot_tell.item() == pytest.approx(2 * math.log(2))


def test_pix2pix_descends_minus_log_d_and_lambda_times_l1() -> None:
    fake, real = torch.tensor([0.5, -0.5]).view(1, 1, 1, 2), torch.tensor([0.0, 0.25]).view(1, 1, 1, 2)
    logits = torch.tensor([[0.0, 2.0]])
    by_hand = (math.log(2) + math.log(1 + math.exp(-2))) / 2 + 10 * 0.625
    assert float(pix2pix_generator_loss(logits, fake, real, 10)) == pytest.approx(by_hand)


def test_cyclegan_sums_both_ways() -> None:
    x, y = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    assert float(cycle_loss((x + 0.25, y - 0.5), (x, y))) == pytest.approx(0.75)
    assert float(cycle_loss((x, y), (x, y))) == 0
