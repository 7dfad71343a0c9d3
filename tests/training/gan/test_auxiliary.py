"""AC-GAN, InfoGAN and BiGAN: what each adds to the game, in closed form and in a few updates."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from service.generator.contract import parse
from service.generator.encoder import parse as parse_encoder
from service.generator.encoder import require_of
from tests.training.test_presets import exported, narrow, start
from tests.training.tiny import SHORT_RUN, command, write_npz
from training.gan.draws import declared, drawn, latents
from training.gan.losses import class_loss, discriminative_class_loss, information_loss
from training.gan.networks import build_discriminator, build_generator
from training.gan.step import train_step
from training.presets import settings_of
from training.settings import ImageSpec, Settings

SPEC = ImageSpec("any", 1, 28, 28, ("a", "b", "c"))


def trained(settings: Settings, updates: int) -> list[dict[str, Tensor]]:
    trainer, state, _ = start(settings)
    return [train_step(trainer, state) for _ in range(updates)]


def mean(figures: list[dict[str, Tensor]], name: str) -> float:
    return float(torch.stack([one[name] for one in figures]).mean())


# ---- AC-GAN ------------------------------------------------------------------------------------


def test_the_class_costs_log_k_where_d_guesses_and_nothing_where_it_knows() -> None:
    label = torch.tensor([0, 2, 1])
    assert float(class_loss(torch.zeros(3, 4), label)) == pytest.approx(math.log(4))
    assert float(class_loss(100.0 * torch.eye(4)[label], label)) == pytest.approx(0, abs=1e-6)
    # By hand: ln(1 + e^-1) and ln(1 + e^2).
    logits = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    want = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
    assert float(class_loss(logits, torch.tensor([0, 1]))) == pytest.approx(want)


def test_d_of_acgan_is_told_no_class_and_learns_to_name_it() -> None:
    settings = replace(narrow("acgan"), batch=16)
    D = build_discriminator(settings, SPEC)
    image, z = torch.rand(2, 1, 28, 28), torch.zeros(2, 8)
    first, second = (D(image, torch.tensor(label), z)[0] for label in ([0, 0], [1, 2]))
    assert torch.equal(first, second)
    figures = trained(settings, 40)
    assert mean(figures[:3], "auxiliary/class of real") > 0.8
    assert mean(figures[-3:], "auxiliary/class of real") < 0.4


# ---- ADC-GAN -----------------------------------------------------------------------------------


def test_what_is_taken_for_a_real_one_of_its_class_as_much_as_for_a_generated_one_costs_nothing() -> None:
    label = torch.tensor([0, 2])
    assert float(discriminative_class_loss(torch.zeros(2, 6), label)) == 0
    # By hand: log C(y, generated) - log C(y, real) is the difference of the two logits, whatever the others are.
    logits = torch.tensor([[1.0, 9.0, 0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 2.0, 7.0, 0.0, 1.0]])
    assert float(discriminative_class_loss(logits, label)) == pytest.approx(((4 - 1) + (1 - 2)) / 2)


def test_d_of_adcgan_learns_to_name_the_class_of_real_images_and_of_generated_ones_apart() -> None:
    settings = replace(narrow("adcgan"), batch=16)
    D = build_discriminator(settings, SPEC)
    assert D(torch.rand(2, 1, 28, 28), torch.tensor([0, 1]), torch.zeros(2, 8))[1].shape == (
        2,
        2 * SPEC.classes,
    )
    figures = trained(settings, 40)
    # Below log K, by chance twice as many classes: it tells those of both kinds.
    assert mean(figures[:3], "auxiliary/class of real") > math.log(SPEC.classes)
    assert mean(figures[-3:], "auxiliary/class of real") < 0.4


# ---- InfoGAN -----------------------------------------------------------------------------------


def test_what_says_nothing_of_the_codes_bounds_their_information_at_zero() -> None:
    rng = torch.Generator().manual_seed(0)
    codes, category = (
        2 * torch.rand(100_000, 2, generator=rng) - 1,
        torch.randint(10, (100_000,), generator=rng),
    )
    found = torch.zeros(100_000, 14)
    # The Gaussian that is nearest to a uniform code has its variance, 1/3.
    found[:, 2:4] = -math.log(3) / 2
    of_codes, of_category = information_loss(found, codes, category)
    # H(c) = log 2 each, less ln(2 pi e / 3) / 2, what that Gaussian needs: a bound is not tight.
    assert float(of_codes) == pytest.approx(
        2 * (math.log(2 * math.pi * math.e / 3) / 2 - math.log(2)), abs=0.01
    )
    assert float(of_category) == pytest.approx(0, abs=1e-6)


def test_who_finds_the_codes_again_has_their_information() -> None:
    rng = torch.Generator().manual_seed(0)
    codes, category = 2 * torch.rand(50_000, 1, generator=rng) - 1, torch.randint(4, (50_000,), generator=rng)
    wrong = 0.1 * torch.randn(50_000, 1, generator=rng)
    logits = 50.0 * torch.eye(4)[category]
    found = torch.cat([codes + wrong, torch.full((50_000, 1), math.log(0.1)), logits], dim=1)
    of_codes, of_category = information_loss(found, codes, category)
    # I(c; c + 0.1 e) by H(c) - h(0.1 e), near the bound since 0.1 is small beside 2.
    assert float(of_codes) == pytest.approx(
        math.log(0.1 * math.sqrt(2 * math.pi * math.e)) - math.log(2), abs=0.01
    )
    assert float(of_category) == pytest.approx(-math.log(4), abs=1e-6)


def test_gradients_of_both_meet_finite_differences() -> None:
    torch.manual_seed(0)
    found = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    codes, category = torch.rand(5, 2, dtype=torch.float64), torch.arange(5)
    assert torch.autograd.gradcheck(lambda f: information_loss(f, codes, category), (found,))
    assert torch.autograd.gradcheck(lambda f: class_loss(f, category), (found,))


def test_training_and_seeds_draw_the_same_law_of_z() -> None:
    settings = settings_of("infogan")
    inputs = declared(settings)
    assert inputs is not None
    assert [one.name for one in inputs] == ["z", "c1", "c2", "category"]
    by_rng = latents(settings, 20_000, torch.Generator().manual_seed(0)).numpy()
    for z in (by_rng, drawn(settings, range(20_000))):
        assert z.shape == (20_000, 65)
        assert np.allclose(z[:, :62].std(axis=0), 1, atol=0.03)
        assert np.allclose(z[:, 62:64].std(axis=0), 3**-0.5, atol=0.01)
        assert np.abs(z[:, 62:64]).max() <= 1
        assert np.allclose(np.bincount(z[:, 64].astype(int)), 2000, atol=200)
    assert declared(settings_of("dcgan")) is None


@torch.no_grad()
def test_g_of_infogan_takes_the_nearest_category() -> None:
    settings = narrow("infogan")
    torch.manual_seed(0)
    G = build_generator(settings, SPEC).eval()
    z = latents(settings, 1, torch.Generator().manual_seed(0)).repeat(6, 1)
    z[:, -1] = torch.tensor([3, 3.4, 2.6, 4, 9, 40])
    images = G(z, torch.zeros(6, dtype=torch.int64))
    same = [torch.allclose(images[0], other, atol=1e-6) for other in images]
    assert same == [True, True, True, False, False, False]
    assert torch.allclose(images[4], images[5], atol=1e-6)


def test_q_learns_the_codes_of_generated_images() -> None:
    figures = trained(replace(narrow("infogan"), batch=16, width=16, z_dim=13), 60)
    assert mean(figures[-5:], "auxiliary/category") < mean(figures[:5], "auxiliary/category") - 0.3
    assert mean(figures[-5:], "auxiliary/codes") < mean(figures[:5], "auxiliary/codes") - 0.1


def test_the_exported_file_names_the_codes() -> None:
    _, file = exported(settings_of("infogan", batch=8))
    inputs = parse(file).declared
    assert [(one.name, one.role, one.law, one.low, one.high) for one in inputs[1:]] == [
        ("c1", "code", "uniform", -2, 2),
        ("c2", "code", "uniform", -2, 2),
        ("category", "code", "whole", 0, 9),
    ]


# ---- BiGAN -------------------------------------------------------------------------------------


def test_d_of_bigan_judges_image_and_z_together() -> None:
    torch.manual_seed(0)
    D = build_discriminator(narrow("bigan"), SPEC).eval()
    image, label = torch.rand(1, 1, 28, 28), torch.tensor([0])
    z = torch.randn(2, 8)
    assert not torch.equal(D(image, label, z[:1])[0], D(image, label, z[1:])[0])
    assert not torch.equal(D(image, label, z[:1])[0], D(1 - image, label, z[:1])[0])


def test_bigan_moves_its_encoder_by_d_alone() -> None:
    trainer, state, _ = start(narrow("bigan"))
    before = {name: weight.clone() for name, weight in state.G.named_parameters()}
    train_step(trainer, state)
    moved = {
        name.partition(".")[0]
        for name, weight in state.G.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert moved == {"G", "encoder"}
    # The average has the statistics of real images that the encoder saw.
    for name, buffer in state.G.named_buffers():
        assert not name.startswith("encoder.") or torch.equal(buffer, state.average.get_buffer(name)), name


def test_the_encoder_of_a_run_lies_beside_its_generator_and_beside_no_other(tmp_path: Path) -> None:
    data, run, model = write_npz(tmp_path / "stripes.npz"), tmp_path / "run", tmp_path / "bigan"
    for preset, folder in (("bigan", run), ("dcgan", tmp_path / "other")):
        result = command("train", "--data", data, "--run", folder, "--preset", preset, *SHORT_RUN)
        assert result.exit_code == 0, result.output
    result = command("export", "--run", run, "--model", model)
    assert result.exit_code == 0, result.output
    quick = ["--judge", "plain", "--judge-images", 64, "--pictures", 8, "--steps", 2, "--threads", 1]
    encode = ["encode", model, "--data", data, "--cache", tmp_path, *quick, "--run"]
    result = command(*encode, run)
    assert result.exit_code == 0, result.output
    document = parse_encoder((model / "generator.encoder").read_bytes())
    file = (model / "generator.onnx").read_bytes()
    require_of(document, parse(file), document.generator)
    assert document.training["settings"]["preset"] == "bigan"
    assert document.quality["ways"][0]["way"] == "the encoder"
    assert "--preset bigan" in (model / "README.md").read_text().partition("## Encoder")[2]

    assert "'dcgan' trains no encoder" in command(*encode, tmp_path / "other").output
    again = command(
        "train", "--data", data, "--run", tmp_path / "again", "--preset", "bigan", *SHORT_RUN, "--seed", 1
    )
    assert again.exit_code == 0, again.output
    assert "is not the run of" in command(*encode, tmp_path / "again").output
